import { channels, keys, WORKER_ALIVE_MS } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { makeOperator } from '../../../test/helpers/operator.js';
import { startRedis } from '../../../test/helpers/redis.js';
import { ECHO_MANIFEST, startGateway, type TestGateway } from './support/test-gateway.js';

const BEAT = {
  ...{ hostName: 'kvm-1', kvm: 'software', isolation: 'process' },
  ...{ slots: 2, callsInFlight: 1, startedAtMs: 1_700_000_000_000, state: 'active' },
};

function connect(gateway: TestGateway): Redis {
  const redis = new Redis({ path: gateway.redis.socketPath });
  onTestFinished(() => redis.disconnect());
  return redis;
}

/** Writes what a worker's heartbeat writes. */
async function beat(redis: Redis, workerId: string, fields: object = {}, atMs = Date.now()): Promise<number> {
  await redis.hset(keys.worker(workerId), { ...BEAT, ...fields });
  await redis.zadd(keys.workers, atMs, workerId);
  await redis.zadd(keys.seenWorkers, atMs, workerId);
  return atMs;
}

const codeOf = async (answer: { status: number; json(): Promise<{ code?: string }> }) => [
  answer.status,
  (await answer.json()).code,
];

/** A gateway, and an operator of it. */
async function withOperator() {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  const authorization = `Bearer ${await makeOperator(server.socketPath)}`;
  const gateway = await startGateway({ redis: server });
  return {
    ...{ gateway, redis: connect(gateway) },
    get: () => gateway.fetch('/v1/hosts', { headers: { authorization } }),
    post: (target: string) => gateway.fetch(target, { method: 'POST', headers: { authorization } }),
  };
}

describe('GET /v1/hosts', () => {
  it('lists workers by id, with what they stand on and do, also those that went without a word', async () => {
    const { redis, get } = await withOperator();
    expect(await (await get()).json()).toEqual({ items: [] });
    const second = await beat(redis, 'w-2', { kvm: 'hardware', isolation: 'thread', state: 'cordoned' });
    const first = await beat(redis, 'w-1');
    const gone = await beat(redis, 'w-gone', {}, Date.now() - WORKER_ALIVE_MS - 1000);
    await redis.hset(keys.hostOrders, 'w-2', 'cordon');
    const answer = await get();
    expect(answer.status).toBe(200);
    const common = { hostName: 'kvm-1', slots: 2, callsInFlight: 1, startedAtMs: 1_700_000_000_000 };
    const software = { ...common, kvm: 'software', isolation: 'process' };
    expect(await answer.json()).toEqual({
      items: [
        { workerId: 'w-1', ...software, state: 'active', lastSeenAtMs: first },
        {
          ...{ workerId: 'w-2', ...common, state: 'cordoned', order: 'cordon' },
          ...{ kvm: 'hardware', isolation: 'thread', lastSeenAtMs: second },
        },
        { workerId: 'w-gone', ...software, state: 'dead', lastSeenAtMs: gone },
      ],
    });
  });

  it('reads the heartbeats of the first releases, which have no state', async () => {
    const { redis, get } = await withOperator();
    await redis.hset(keys.worker('w-old'), { ...BEAT, draining: 0 });
    await redis.hdel(keys.worker('w-old'), 'state');
    await redis.zadd(keys.workers, Date.now(), 'w-old');
    expect(await (await get()).json()).toMatchObject({ items: [{ workerId: 'w-old', state: 'active' }] });
  });

  it.each([
    ['kvm', 'quantum'],
    ['isolation', 'none'],
    ['slots', '-1'],
    ['callsInFlight', 'many'],
    ['startedAtMs', '1e400'],
    ['state', 'asleep'],
  ])('leaves out, and logs, a worker whose %s is %s', async (field, value) => {
    const { gateway, redis, get } = await withOperator();
    await beat(redis, 'w-1');
    await beat(redis, 'w-odd', { [field]: value });
    const { items } = await (await get()).json();
    expect(items).toEqual([expect.objectContaining({ workerId: 'w-1' })]);
    expect(gateway.log).toContainEqual(expect.objectContaining({ workerId: 'w-odd' }));
  });

  it('answers unavailable while its Redis is away', async () => {
    const { gateway, get } = await withOperator();
    await gateway.redis.stop();
    expect(await codeOf(await get())).toEqual([503, 'unavailable']);
  });

  it('is for operators', async () => {
    const gateway = await startGateway();
    expect(await codeOf(await gateway.fetch('/v1/hosts'))).toEqual([403, 'forbidden']);
    const cordon = await gateway.fetch('/v1/hosts/w-1/cordon', { method: 'POST' });
    expect(await codeOf(cordon)).toEqual([403, 'forbidden']);
  });
});

describe('POST /v1/hosts/{id}/…', () => {
  it.each([
    ['cordon', 'cordon'],
    ['drain', 'drain'],
    ['uncordon', null],
  ])('puts what a worker is to do where it looks, and on the audit log: %s', async (verb, order) => {
    const { redis, post } = await withOperator();
    await beat(redis, 'w-1');
    const before = order === null ? 'drain' : 'none';
    if (order === null) await redis.hset(keys.hostOrders, 'w-1', 'drain');
    const entries = await redis.xlen(keys.audit);
    const answer = await post(`/v1/hosts/w-1/${verb}`);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ workerId: 'w-1', ...(order !== null && { order }) });
    expect(await redis.hget(keys.hostOrders, 'w-1')).toBe(order);
    const [last] = await redis.xrevrange(keys.audit, '+', '-', 'COUNT', 1);
    expect(JSON.parse(last?.[1][1] ?? '')).toMatchObject({
      ...{ action: `host.${verb}`, target: 'w-1', actor: { kind: 'operator' } },
      ...{ before: { order: before }, after: { order: order ?? 'none' } },
    });
    // The same again changes nothing.
    expect((await post(`/v1/hosts/w-1/${verb}`)).status).toBe(200);
    expect(await redis.xlen(keys.audit)).toBe(entries + 1);
  });

  it('knows no worker that nobody has heard of', async () => {
    const { post } = await withOperator();
    expect(await codeOf(await post('/v1/hosts/w-9/cordon'))).toEqual([404, 'not-found']);
  });
});

describe('a tenant that requires a kind of KVM', () => {
  const strict = { env: { MAYFLY_TENANT_REQUIRES_KVM: 'hardware' } };

  it.each([
    ['sync', {}],
    ['async', { prefer: 'respond-async' }],
  ])(
    'is refused, by name, a %s call that no live worker may run, and nothing is queued',
    async (_, headers) => {
      const gateway = await startGateway(strict);
      const worker = await gateway.startWorker();
      await beat(connect(gateway), 'w-1', { kvm: 'software' });
      await gateway.upload('fn', ECHO_MANIFEST);
      const body = { function: 'fn', entrypoint: 'Nothing', args: [] };
      expect(await codeOf(await gateway.invoke(body, headers))).toEqual([503, 'no-host']);
      const raw = { method: 'POST', body: new Uint8Array(1), headers };
      expect(await codeOf(await gateway.fetch('/invoke/fn', raw))).toEqual([503, 'no-host']);
      expect(await gateway.services.producer.counts('sync')).toMatchObject({ waiting: 0, active: 0 });
      expect(await gateway.services.producer.counts('async')).toMatchObject({ waiting: 0, active: 0 });
      expect(worker.jobs).toEqual([]);
    },
  );

  it('is served while such a worker lives; its jobs say what they require, in a version of their own', async () => {
    const gateway = await startGateway(strict);
    const worker = await gateway.startWorker();
    await beat(connect(gateway), 'w-1', { kvm: 'hardware' });
    await gateway.upload('fn');
    const body = { function: 'fn', entrypoint: 'E', args: [], returns: 'void' };
    expect((await gateway.invoke(body)).status).toBe(200);
    expect((await gateway.invoke(body, { prefer: 'respond-async' })).status).toBe(202);
    await expect.poll(() => worker.jobs.length).toBe(2);
    for (const job of worker.jobs) expect(job).toMatchObject({ v: 2, function: { requiresKvm: 'hardware' } });
  });

  it('has its versions announced with what they require', async () => {
    const gateway = await startGateway(strict);
    const redis = connect(gateway);
    const announced = new Promise<string>((resolve) => redis.once('message', (_, text) => resolve(text)));
    await redis.subscribe(channels.versions);
    await gateway.upload('fn');
    expect(JSON.parse(await announced)).toMatchObject({ name: 'fn', requiresKvm: 'hardware' });
  });
});

describe('a tenant that requires none', () => {
  it('is served by any worker, with jobs that every release reads', async () => {
    const gateway = await startGateway();
    const worker = await gateway.startWorker();
    await gateway.upload('fn');
    const answer = await gateway.invoke({ function: 'fn', entrypoint: 'E', args: [], returns: 'void' });
    expect(answer.status).toBe(200);
    expect(worker.jobs).toMatchObject([{ v: 1 }]);
    expect(worker.jobs[0]?.function).not.toHaveProperty('requiresKvm');
  });
});
