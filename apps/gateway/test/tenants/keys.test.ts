import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { channels, keys, SCOPES } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { startRedis } from '../../../../test/helpers/redis.js';
import type { Answer } from '../support/answer-body.js';
import { ECHO_MANIFEST, startGateway, type TestGateway } from '../support/test-gateway.js';

const codeOf = async (answer: Answer) => [answer.status, (await answer.json()).code];
const post = (body: unknown) => ({
  method: 'POST',
  body: JSON.stringify(body),
  headers: { 'content-type': 'application/json' },
});

function connect(path: string): Redis {
  const connection = new Redis({ path });
  onTestFinished(() => connection.disconnect());
  return connection;
}

/** All of Redis, as text. */
async function dump(redis: Redis): Promise<string> {
  const found: unknown[] = [];
  for (const key of await redis.keys('*')) {
    const type: string = await redis.type(key);
    if (type === 'hash') found.push(key, await redis.hgetall(key));
    else if (type === 'stream') found.push(key, await redis.xrange(key, '-', '+'));
    else if (type === 'string') found.push(key, await redis.get(key));
    else if (type === 'zset') found.push(key, await redis.zrange(key, '0', '-1'));
    else if (type === 'set') found.push(key, await redis.smembers(key));
    else found.push(key, await redis.lrange(key, 0, -1));
  }
  return JSON.stringify(found);
}

describe('a tenant’s key', () => {
  it('is made with scopes, shown once, and listed without its text', async () => {
    const gateway = await startGateway();
    await gateway.operator('/v1/tenants', { json: { name: 'acme' } });
    const wanted = { scopes: ['function:invoke'], functionPattern: 'a-*', label: 'ci', expiresInS: 60 };
    const made = await gateway.operator('/v1/tenants/acme/keys', { json: wanted });
    expect(made.headers.get('cache-control')).toBe('no-store');
    const { key, ...view } = await made.json();
    expect(key).toMatch(/^mf_[0-9a-f]{12}_[0-9a-f]{48}$/);
    expect(view).toMatchObject({ scopes: ['function:invoke'], functionPattern: 'a-*', label: 'ci' });
    expect(view.expiresAtMs - view.createdAtMs).toBe(60_000);
    expect(await (await gateway.operator('/v1/tenants/acme/keys')).json()).toEqual({ items: [view] });
    const stored = await dump(connect(gateway.redis.socketPath));
    expect(stored).toContain(view.id);
    expect(stored).not.toContain(key.slice(-48));
  });

  it('may do what its scopes say, and no more', async () => {
    const gateway = await startGateway();
    const { text } = await gateway.newKey('default', { scopes: ['invocation:read'] });
    expect(await codeOf(await gateway.as(text, '/invoke', post({ function: 'fn' })))).toEqual([
      403,
      'forbidden',
    ]);
    const id = `inv_${'0'.repeat(32)}`;
    expect((await gateway.as(text, `/v1/invocations/${id}`)).status).toBe(404);
  });

  it('touches the functions of its pattern alone', async () => {
    const gateway = await startGateway();
    await gateway.startWorker();
    for (const name of ['a-one', 'b-one']) await gateway.upload(name, ECHO_MANIFEST);
    const { text } = await gateway.newKey('default', { functionPattern: 'a-*' });
    const call = (name: string) => post({ function: name, entrypoint: 'Nothing', args: [] });
    expect((await gateway.as(text, '/invoke', call('a-one'))).status).toBe(200);
    expect((await gateway.as(text, '/invoke', call('b-one'))).status).toBe(403);
    const raw = { method: 'POST', body: new Uint8Array(1) };
    expect((await gateway.as(text, '/invoke/a-one@1', raw)).status).toBe(200);
    expect((await gateway.as(text, '/invoke/b-one@1', raw)).status).toBe(403);
    const { items } = await (await gateway.as(text, '/v1/functions')).json();
    expect(items.map((item: { name: string }) => item.name)).toEqual(['a-one']);
    const ids = await Promise.all(
      ['a-one', 'b-one'].map(async (name) => {
        const answer = await gateway.fetch('/invoke', call(name));
        return answer.headers.get('invocation-id');
      }),
    );
    const found = await Promise.all(
      ids.map(async (id) => (await gateway.as(text, `/v1/invocations/${id}`)).status),
    );
    expect(found).toEqual([200, 404]);
    const results = ids.map(async (id) => (await gateway.as(text, `/v1/invocations/${id}/result`)).status);
    expect(await Promise.all(results)).toEqual([200, 404]);
  });

  it('with tenant:admin manages the keys of its tenant, not of another, nor its quotas', async () => {
    const gateway = await startGateway();
    await gateway.newKey('other');
    const { text } = await gateway.newKey('acme', { scopes: ['tenant:admin'] });
    const made = await gateway.as(text, '/v1/tenants/acme/keys', post({ scopes: ['function:invoke'] }));
    expect(made.status).toBe(201);
    const { id, key } = await made.json();
    expect((await gateway.as(key, '/v1/limits')).status).toBe(200);
    expect((await gateway.as(text, `/v1/tenants/acme/keys/${id}`, { method: 'DELETE' })).status).toBe(204);
    expect((await gateway.as(text, '/v1/tenants/other/keys')).status).toBe(404);
    expect((await gateway.as(text, '/v1/tenants/acme/quotas')).status).toBe(200);
    const quotas = { ...post({ weight: 100 }), method: 'PUT' };
    expect(await codeOf(await gateway.as(text, '/v1/tenants/acme/quotas', quotas))).toEqual([
      403,
      'forbidden',
    ]);
    const admin = post({ scopes: ['tenant:admin'], functionPattern: 'a*' });
    expect(await codeOf(await gateway.as(text, '/v1/tenants/acme/keys', admin))).toEqual([
      400,
      'invalid-request',
    ]);
  });

  it('ends when it expires', async () => {
    const gateway = await startGateway();
    const { text, key } = await gateway.newKey('acme', { expiresInS: 3600 });
    expect((await gateway.as(text, '/v1/limits')).status).toBe(200);
    vi.spyOn(Date, 'now').mockReturnValue(key.expiresAtMs as number);
    onTestFinished(() => void vi.restoreAllMocks());
    expect((await gateway.as(text, '/v1/limits')).status).toBe(401);
  });

  it('is rotated: both are valid for the overlap, then the new one alone', async () => {
    const gateway = await startGateway();
    const { text, key } = await gateway.newKey('acme', { scopes: ['function:invoke'], label: 'ci' });
    const rotate = (id: string, overlapS: number) =>
      gateway.operator(`/v1/tenants/acme/keys/${id}/rotate`, { json: { overlapS } });
    const made = await (await rotate(key.id, 3600)).json();
    expect(made).toMatchObject({ scopes: ['function:invoke'], label: 'ci' });
    for (const each of [text, made.key]) expect((await gateway.as(each, '/v1/limits')).status).toBe(200);
    expect(await codeOf(await rotate(key.id, 1))).toEqual([409, 'conflict']);
    const next = await (await rotate(made.id, 0)).json();
    expect((await gateway.as(made.key, '/v1/limits')).status).toBe(401);
    expect((await gateway.as(next.key, '/v1/limits')).status).toBe(200);
    const { items } = await (await gateway.operator('/v1/tenants/acme/keys')).json();
    expect(items[0]).toMatchObject({ id: key.id, replacedBy: made.id });
  });
});

describe('a revoked key', () => {
  const revoke = (gateway: TestGateway, id: string) =>
    gateway.operator(`/v1/tenants/acme/keys/${id}`, { method: 'DELETE' });

  it('is refused by the gateway that revoked it, and by the others as soon as they hear', async () => {
    const one = await startGateway();
    const two = await startGateway({ redis: one.redis });
    const { text, key } = await one.newKey('acme');
    await expect.poll(async () => (await two.as(text, '/v1/limits')).status).toBe(200);
    expect((await revoke(one, key.id)).status).toBe(204);
    expect((await one.as(text, '/v1/limits')).status).toBe(401);
    await expect.poll(async () => (await two.as(text, '/v1/limits')).status).toBe(401);
  });

  it('is refused by a gateway that heard nothing, once its copy is looked at again', async () => {
    const one = await startGateway();
    const { text, key } = await one.newKey('acme');
    const redis = connect(one.redis.socketPath);
    // Behind the gateway's back: no announcement.
    await redis.hdel(keys.apiKeys, key.id);
    await redis.zadd(keys.tenantChanges, await redis.incr(keys.tenantRevision), `k:${key.id}`);
    await expect.poll(async () => (await one.as(text, '/v1/limits')).status).toBe(401);
  });

  it('is not taken where the copy is old and Redis does not answer: such a gateway lets nobody in', async () => {
    const gateway = await startGateway();
    const { text } = await gateway.newKey('acme');
    process.kill(gateway.redis.pid, 'SIGSTOP');
    const { directory } = gateway.services;
    await expect.poll(() => directory.isFresh, { timeout: 5_000 }).toBe(false);
    expect(await codeOf(await gateway.as(text, '/v1/limits'))).toEqual([503, 'unavailable']);
    process.kill(gateway.redis.pid, 'SIGCONT');
    await expect
      .poll(async () => (await gateway.as(text, '/v1/limits')).status, { timeout: 5_000 })
      .toBe(200);
  });
});

describe('the directory of a gateway', () => {
  it('follows a Redis that comes back with less than it had', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mf-redis-at-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const redis = await startRedis({ socketPath: join(folder, 's') });
    onTestFinished(() => redis.stop());
    const gateway = await startGateway({ redis });
    const { text } = await gateway.newKey('acme');
    await redis.stop();
    const again = await startRedis({ socketPath: redis.socketPath });
    onTestFinished(() => again.stop());
    const admin = connect(again.socketPath);
    // As many revisions as before, so that only reading everything tells the difference.
    await admin.set(keys.tenantRevision, 100);
    await expect
      .poll(async () => (await gateway.as(text, '/v1/limits')).status, { timeout: 10_000 })
      .toBe(401);
  });

  it('takes no notice of what is no tenant and no key', async () => {
    const gateway = await startGateway();
    const redis = connect(gateway.redis.socketPath);
    await redis.hset(keys.apiKeys, 'aaaaaaaaaaaa', '{"id":"aaaaaaaaaaaa"}', 'b', 'x');
    await redis.hset(keys.tenants, 'x y', '{"name":"x y"}', 'null', 'null');
    const revision = await redis.incr(keys.tenantRevision);
    await redis.zadd(keys.tenantChanges, revision, 'k:aaaaaaaaaaaa', revision, 't:x y', revision, 't:null');
    await redis.publish(channels.tenants, '1');
    await gateway.services.directory.refresh();
    const { directory } = gateway.services;
    expect(directory.tenants().map(({ tenant }) => tenant.name)).toEqual(['default']);
    expect(directory.key('aaaaaaaaaaaa')).toBeUndefined();
  });
});

describe('operators’ keys', () => {
  it('are made, listed and revoked; the last one stays', async () => {
    const gateway = await startGateway();
    const made = await (await gateway.operator('/v1/operator-keys', { json: { label: 'second' } })).json();
    expect(made.key).toMatch(/^mfo_/);
    const { items } = await (await gateway.as(made.key, '/v1/operator-keys')).json();
    const [first] = items;
    expect(items).toHaveLength(2);
    const remove = (id: string) => gateway.as(made.key, `/v1/operator-keys/${id}`, { method: 'DELETE' });
    expect((await remove(first?.id ?? '')).status).toBe(204);
    expect(await codeOf(await remove(made.id))).toEqual([409, 'conflict']);
  });

  it('act for no tenant', async () => {
    const gateway = await startGateway();
    await gateway.upload('fn');
    const answer = await gateway.operator('/invoke', { json: { function: 'fn' } });
    expect(await codeOf(answer)).toEqual([403, 'forbidden']);
  });
});

describe('the key that the environment names', () => {
  it('may do everything for its tenant', async () => {
    const gateway = await startGateway();
    const { keyAdmin } = gateway.services;
    expect((await gateway.fetch('/v1/tenants/default/keys')).status).toBe(200);
    expect(SCOPES).toHaveLength(5);
    expect(await keyAdmin.list('default')).toEqual([]);
  });

  it('need not be there', async () => {
    const gateway = await startGateway({ env: { MAYFLY_TENANT_KEY: '' } });
    expect(gateway.services.directory.tenants()).toEqual([]);
    expect((await gateway.fetch('/v1/limits')).status).toBe(401);
    const { text } = await gateway.newKey('acme');
    expect((await gateway.as(text, '/v1/limits')).status).toBe(200);
  });
});
