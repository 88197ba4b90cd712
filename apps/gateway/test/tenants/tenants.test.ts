import { randomBytes } from 'node:crypto';
import { DEFAULT_QUOTAS, keys, LIMITS } from '@mayfly/contracts';
import { SecretKeys } from '@mayfly/secrets';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Answer } from '../support/answer-body.js';
import { startGateway, type TestGateway } from '../support/test-gateway.js';

const codeOf = async (answer: Answer) => [answer.status, (await answer.json()).code];

function connect({ redis }: TestGateway): Redis {
  const connection = new Redis({ path: redis.socketPath });
  onTestFinished(() => connection.disconnect());
  return connection;
}

describe('tenants', () => {
  it('are made, shown, listed a page at a time, and deleted', async () => {
    const gateway = await startGateway();
    for (const name of ['acme', 'bolt', 'crux'])
      expect((await gateway.operator('/v1/tenants', { json: { name } })).status).toBe(201);
    const shown = await gateway.operator('/v1/tenants/acme');
    expect(await shown.json()).toMatchObject({
      ...{ name: 'acme', paused: false, quotas: DEFAULT_QUOTAS },
      policy: { requiresKvm: 'any', callbackHosts: [] },
    });
    const first = await (await gateway.operator('/v1/tenants?limit=3')).json();
    expect(first.items.map((item: { name: string }) => item.name)).toEqual(['acme', 'bolt', 'crux']);
    const second = await (await gateway.operator(`/v1/tenants?cursor=${first.nextCursor}`)).json();
    expect(second.items.map((item: { name: string }) => item.name)).toEqual(['default']);
    expect(second.nextCursor).toBeUndefined();
    expect((await gateway.operator('/v1/tenants/acme', { method: 'DELETE' })).status).toBe(204);
    expect(await codeOf(await gateway.operator('/v1/tenants/acme'))).toEqual([404, 'not-found']);
  });

  it('have names of their own', async () => {
    const gateway = await startGateway();
    const make = (name: string) => gateway.operator('/v1/tenants', { json: { name } });
    expect((await make('acme')).status).toBe(201);
    expect(await codeOf(await make('acme'))).toEqual([409, 'conflict']);
    expect(await codeOf(await make('A:b'))).toEqual([400, 'invalid-request']);
  });

  it('take their keys with them, and leave their names taken while records of theirs are kept', async () => {
    const gateway = await startGateway();
    const { text } = await gateway.newKey('acme');
    expect((await gateway.as(text, '/v1/functions')).status).toBe(200);
    await gateway.operator('/v1/tenants/acme', { method: 'DELETE' });
    expect((await gateway.as(text, '/v1/functions')).status).toBe(401);
    const again = await gateway.operator('/v1/tenants', { json: { name: 'acme' } });
    expect(again.status).toBe(409);
    expect((await again.json()).detail).toContain('records of the tenant');
    const longAgo = Date.now() - LIMITS.recordRetentionMs - 1;
    await connect(gateway).hset(keys.tenants, 'acme', JSON.stringify({ name: 'acme', deletedAtMs: longAgo }));
    gateway.services.directory.stop();
    const other = await startGateway({ redis: gateway.redis });
    expect((await other.operator('/v1/tenants', { json: { name: 'acme' } })).status).toBe(201);
    expect((await other.as(text, '/v1/functions')).status).toBe(401);
  });

  it('are not deleted with functions unless that is meant', async () => {
    const gateway = await startGateway();
    await gateway.upload('fn');
    const remove = (query: string) => gateway.operator(`/v1/tenants/default${query}`, { method: 'DELETE' });
    expect(await codeOf(await remove(''))).toEqual([409, 'conflict']);
    expect((await gateway.fetch('/v1/functions/fn')).status).toBe(200);
    expect((await remove('?force=true')).status).toBe(204);
    expect(await gateway.services.registry.listNames('default')).toEqual([]);
    expect((await gateway.fetch('/v1/functions')).status).toBe(401);
  });

  it('take their secrets with them', async () => {
    const gateway = await startGateway({ secretKeys: new SecretKeys([randomBytes(32)]) });
    const headers = { 'content-type': 'application/json' };
    const put = { method: 'PUT', body: '{"value":"hunter2"}', headers };
    expect((await gateway.fetch('/v1/secrets/db', put)).status).toBe(201);
    expect((await gateway.fetch('/v1/webhook-secret', { ...put, method: 'POST', body: '{}' })).status).toBe(
      201,
    );
    expect((await gateway.operator('/v1/tenants/default', { method: 'DELETE' })).status).toBe(204);
    expect(await gateway.services.secrets.list('default')).toEqual([]);
    expect(await gateway.services.webhookSecrets.find('default')).toBeUndefined();
  });

  it('are paused and go on', async () => {
    const gateway = await startGateway();
    await gateway.operator('/v1/tenants', { json: { name: 'acme' } });
    for (const [word, paused] of [
      ['pause', true],
      ['unpause', false],
    ] as const) {
      const answer = await gateway.operator(`/v1/tenants/acme/${word}`, { method: 'POST' });
      expect([answer.status, (await answer.json()).paused]).toEqual([200, paused]);
      expect(gateway.services.policies.of('acme').isPaused).toBe(paused);
    }
  });

  it('do not see each other’s functions, and name them alike', async () => {
    const gateway = await startGateway();
    const { text } = await gateway.newKey('acme');
    await gateway.upload('fn');
    expect((await gateway.as(text, '/v1/functions/fn')).status).toBe(404);
    expect(await (await gateway.as(text, '/v1/functions')).json()).toEqual({ items: [] });
    const own = { method: 'DELETE' };
    expect((await gateway.as(text, '/v1/functions/fn', own)).status).toBe(404);
    expect((await gateway.fetch('/v1/functions/fn')).status).toBe(200);
  });
});

describe('quotas and policy', () => {
  it('are replaced whole, with a tag that keeps a change from undoing another', async () => {
    const gateway = await startGateway();
    await gateway.operator('/v1/tenants', { json: { name: 'acme', quotas: { maxInFlight: 3 } } });
    const path = '/v1/tenants/acme/quotas';
    const put = (json: unknown, headers = {}) => gateway.operator(path, { method: 'PUT', json, headers });
    const read = await gateway.operator(path);
    const tag = read.headers.get('etag') ?? '';
    expect(await read.json()).toEqual({ ...DEFAULT_QUOTAS, maxInFlight: 3 });
    const changed = await put({ ratePerS: 5 }, { 'if-match': tag });
    expect(await changed.json()).toEqual({ ...DEFAULT_QUOTAS, ratePerS: 5 });
    expect(changed.headers.get('etag')).not.toBe(tag);
    expect(await codeOf(await put({ ratePerS: 6 }, { 'if-match': tag }))).toEqual([
      412,
      'precondition-failed',
    ]);
    expect(gateway.services.policies.of('acme').quotas.ratePerS).toBe(5);
    expect((await put({ ratePerS: 6 })).status).toBe(200);
  });

  it.each([{ ratePerS: 0 }, { ratePerS: 1.5 }, { weight: '3' }, { maxTimeoutMs: 30_001 }, { nope: 1 }])(
    'are refused as %j',
    async (json) => {
      const gateway = await startGateway();
      const answer = await gateway.operator('/v1/tenants/default/quotas', { method: 'PUT', json });
      expect(await codeOf(answer)).toEqual([400, 'invalid-request']);
    },
  );

  it('say where code may run and callbacks may go', async () => {
    const gateway = await startGateway();
    const policy = { requiresKvm: 'hardware', callbackHosts: ['hooks.example.org'] };
    const path = '/v1/tenants/default/policy';
    const answer = await gateway.operator(path, { method: 'PUT', json: policy });
    expect(await answer.json()).toEqual(policy);
    expect(gateway.services.policies.of('default')).toMatchObject(policy);
    const read = await gateway.operator(path);
    expect([await read.json(), read.headers.get('etag')]).toEqual([policy, answer.headers.get('etag')]);
    await gateway.operator(path, { method: 'PUT', json: { requiresKvm: 'any', callbackHosts: [] } });
    expect(gateway.services.policies.of('default').requiresKvm).toBeUndefined();
  });

  it('are known to another gateway as soon as it is told', async () => {
    const one = await startGateway();
    const two = await startGateway({ redis: one.redis });
    await one.operator('/v1/tenants/default/quotas', { method: 'PUT', json: { weight: 3 } });
    await expect.poll(() => two.services.policies.of('default').quotas.weight).toBe(3);
  });

  it('are not lost when two gateways change one tenant at once', async () => {
    const one = await startGateway();
    const two = await startGateway({ redis: one.redis });
    const hosts = Array.from({ length: 10 }, (_, i) => `h${i}.example.org`);
    await Promise.all(
      hosts.map((host, i) =>
        (i % 2 === 0 ? one : two).services.tenantAdmin.update(
          'test',
          { name: 'default', action: 'test', part: ({ callbackHosts }) => callbackHosts },
          (before) => ({ ...before, callbackHosts: [...before.callbackHosts, host] }),
        ),
      ),
    );
    const { tenant } = await two.services.tenantAdmin.find('default');
    expect([...tenant.callbackHosts].sort()).toEqual(hosts);
    expect((await one.services.audit.verify()).broken).toBeUndefined();
  });
});

describe('an operator who reads what is a tenant’s', () => {
  it('is on record, with where from and what', async () => {
    const gateway = await startGateway();
    await gateway.upload('fn');
    const headers = { 'mayfly-tenant': 'default' };
    const answer = await gateway.operator('/v1/functions/fn?x=1', { headers });
    expect((await answer.json()).name).toBe('fn');
    const { items } = await gateway.services.audit.page(undefined, 100);
    expect(items.at(-1)).toMatchObject({
      ...{ action: 'tenant.read', tenant: 'default', target: '/v1/functions/fn' },
      ...{ actor: { kind: 'operator' }, from: '127.0.0.1' },
    });
  });

  it('changes nothing of it, and reads nothing without saying whose', async () => {
    const gateway = await startGateway();
    await gateway.upload('fn');
    const headers = { 'mayfly-tenant': 'default' };
    const remove = await gateway.operator('/v1/functions/fn', { method: 'DELETE', headers });
    expect(await codeOf(remove)).toEqual([403, 'forbidden']);
    expect(await codeOf(await gateway.operator('/v1/functions/fn'))).toEqual([403, 'forbidden']);
    expect((await gateway.fetch('/v1/functions/fn')).status).toBe(200);
  });
});
