import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Answer } from '../support/answer-body.js';
import { tinyElf } from '../support/elf.js';
import { ECHO_MANIFEST, startGateway, type TestGateway } from '../support/test-gateway.js';

async function withQuotas(json: unknown): Promise<TestGateway> {
  const gateway = await startGateway();
  const put = await gateway.operator('/v1/tenants/default/quotas', { method: 'PUT', json });
  expect(put.status).toBe(200);
  return gateway;
}

/** A binary of its own, a little larger than the smallest. */
const binary = (): Uint8Array => Buffer.concat([tinyElf(), randomBytes(16)]);

const refusal = async (answer: Answer) => {
  const { code, limit } = await answer.json();
  return [answer.status, code, limit, answer.headers.get('retry-after')];
};

describe('what a tenant may store', () => {
  it('is so many functions', async () => {
    const gateway = await withQuotas({ maxFunctions: 1 });
    expect((await gateway.upload('a')).status).toBe(201);
    expect((await gateway.upload('a', undefined, binary())).status).toBe(201);
    const limit = { name: 'maxFunctions', value: 1, current: 2 };
    expect(await refusal(await gateway.upload('b'))).toEqual([429, 'quota-exceeded', limit, null]);
    expect((await gateway.fetch('/v1/functions/a', { method: 'DELETE' })).status).toBe(204);
    expect((await gateway.upload('b')).status).toBe(201);
  });

  it('is so many versions of a function; what is there already is found all the same', async () => {
    const gateway = await withQuotas({ maxVersions: 2 });
    for (const _ of [1, 2]) expect((await gateway.upload('fn', undefined, binary())).status).toBe(201);
    const limit = { name: 'maxVersions', value: 2, current: 3 };
    const same = binary();
    expect(await refusal(await gateway.upload('fn', undefined, same))).toEqual([
      429,
      'quota-exceeded',
      limit,
      null,
    ]);
    await gateway.fetch('/v1/functions/fn/versions/1', { method: 'DELETE' });
    expect((await gateway.upload('fn', undefined, same)).status).toBe(201);
    expect((await gateway.upload('fn', undefined, same)).status).toBe(200);
  });

  it('is so many bytes, of all functions together', async () => {
    const size = binary().byteLength;
    const gateway = await withQuotas({ maxStoredBytes: 3 * size - 1 });
    expect((await gateway.upload('a', undefined, binary())).status).toBe(201);
    expect((await gateway.upload('b', undefined, binary())).status).toBe(201);
    const limit = { name: 'maxStoredBytes', value: 3 * size - 1, current: 3 * size };
    expect(await refusal(await gateway.upload('a', undefined, binary()))).toEqual([
      ...[429, 'quota-exceeded', limit, null],
    ]);
    const { inUse } = await quotaOf(gateway);
    expect(inUse).toMatchObject({ functions: 2, storedBytes: 2 * size });
    await gateway.fetch('/v1/functions/b', { method: 'DELETE' });
    expect((await quotaOf(gateway)).inUse).toMatchObject({ functions: 1, storedBytes: size });
    expect((await gateway.upload('a', undefined, binary())).status).toBe(201);
  });

  it('is not passed by uploads that come at once', async () => {
    const gateway = await withQuotas({ maxVersions: 2 });
    const uploads = [1, 2, 3, 4].map(() => gateway.upload('fn', undefined, binary()));
    const statuses = (await Promise.all(uploads)).map(({ status }) => status);
    expect(statuses.sort()).toEqual([201, 201, 429, 429]);
  });

  it('is no version that needs more memory than it may have', async () => {
    const gateway = await withQuotas({ maxMemoryBytes: 1024 * 1024 });
    const [status, code, limit] = await refusal(await gateway.upload('fn'));
    expect([status, code, limit]).toMatchObject([429, 'quota-exceeded', { name: 'maxMemoryBytes' }]);
  });
});

interface Quota {
  readonly paused: boolean;
  readonly quotas: Readonly<Record<string, number>>;
  readonly inUse: Readonly<Record<string, number>>;
}

const quotaOf = async (gateway: TestGateway): Promise<Quota> =>
  (await gateway.fetch('/v1/quota')).json() as unknown as Promise<Quota>;

describe('GET /v1/quota', () => {
  it('says what holds and what is in use', async () => {
    const gateway = await withQuotas({ maxInFlight: 7 });
    await gateway.operator('/v1/tenants/default/pause', { method: 'POST' });
    expect(await quotaOf(gateway)).toMatchObject({
      ...{ tenant: 'default', paused: true, quotas: { maxInFlight: 7, weight: 1 } },
      inUse: { inFlight: 0, running: 0, queued: 0, queuedBytes: 0, functions: 0, storedBytes: 0 },
    });
  });
});

interface Usage {
  readonly from: string;
  readonly to: string;
  readonly items: readonly Readonly<Record<string, string | number>>[];
  readonly total: Readonly<Record<string, number>>;
}

const usageOf = async (gateway: TestGateway, query = ''): Promise<Usage> =>
  (await gateway.fetch(`/v1/usage${query}`)).json() as unknown as Promise<Usage>;

describe('GET /v1/usage', () => {
  it('adds up to the records exactly, by function, by day and in all', async () => {
    const gateway = await startGateway();
    let cpuUs = 0;
    const worker = await gateway.startWorker((item) => {
      cpuUs += 17;
      const failed = item.entrypoint === 'Add';
      const usage = { cpuUs: 17, exits: 1, hostCalls: 0, dirtyPages: 1, source: 'warm' as const };
      return { usage, ...(failed && { outcome: 'guest-error' as const }) };
    });
    for (const name of ['a', 'b']) await gateway.upload(name, ECHO_MANIFEST);
    const nothing = { entrypoint: 'Nothing', args: [] };
    for (const name of ['a', 'a', 'b'])
      expect((await gateway.invoke({ function: name, ...nothing })).status).toBe(200);
    const failing = { function: 'b', entrypoint: 'Add', args: [1, 2] };
    expect((await gateway.invoke(failing)).status).toBe(502);
    // A worker answers first and puts the end on record beside it.
    await expect.poll(async () => (await usageOf(gateway)).total['invocations']).toBe(4);
    expect(worker.jobs.length).toBeGreaterThan(0);
    const byFunction = await usageOf(gateway, '?groupBy=function');
    expect(byFunction.items).toMatchObject([
      { function: 'a', invocations: 2, failed: 0, cpuUs: 34 },
      { function: 'b', invocations: 2, failed: 1, cpuUs: 34 },
    ]);
    expect(byFunction.total).toMatchObject({ invocations: 4, failed: 1, cpuUs });
    const byDay = await usageOf(gateway, '?groupBy=day');
    for (const item of byDay.items) expect(item).not.toHaveProperty('function');
    expect(byDay.items.reduce((sum, { invocations }) => sum + Number(invocations), 0)).toBe(4);
    const { items } = await usageOf(gateway, '?from=2020-01-01&to=2020-01-31');
    expect(items).toEqual([]);
  });

  it.each([
    '?from=2020-13-01',
    '?from=x',
    '?from=2020-02-30',
    '?from=2020-01-02&to=2020-01-01',
    '?from=2010-01-01',
    '?groupBy=x',
  ])('refuses %s', async (query) => {
    const gateway = await startGateway();
    expect((await gateway.fetch(`/v1/usage${query}`)).status).toBe(400);
  });
});

describe('what operators decide of a tenant’s turn', () => {
  it('reaches the gate, and again when the gateway starts', async () => {
    const gateway = await withQuotas({ weight: 3, maxRunning: 5 });
    const gateKey = 'mf:q:gate:default';
    const { redis } = gateway.services;
    await expect.poll(() => redis.hgetall(gateKey)).toMatchObject({ weight: '3', max: '5' });
    await gateway.operator('/v1/tenants/default/pause', { method: 'POST' });
    await expect.poll(() => redis.hget(gateKey, 'paused')).toBe('1');
    await redis.del(gateKey);
    await startGateway({ redis: gateway.redis });
    await expect.poll(() => redis.hgetall(gateKey)).toMatchObject({ weight: '3', max: '5', paused: '1' });
    await gateway.operator('/v1/tenants/default/unpause', { method: 'POST' });
    await expect.poll(() => redis.hget(gateKey, 'paused')).toBeNull();
  });
});
