import { channels, keys, WORKER_ALIVE_MS } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ECHO_MANIFEST, startGateway, type TestGateway } from './support/test-gateway.js';

const BEAT = {
  ...{ hostName: 'kvm-1', kvm: 'software', isolation: 'process' },
  ...{ slots: 2, callsInFlight: 1, startedAtMs: 1_700_000_000_000, draining: 0 },
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
  return atMs;
}

const codeOf = async (answer: { status: number; json(): Promise<{ code?: string }> }) => [
  answer.status,
  (await answer.json()).code,
];

describe('GET /v1/hosts', () => {
  it('lists the workers that live, by id, with what they stand on', async () => {
    const gateway = await startGateway();
    const redis = connect(gateway);
    expect(await (await gateway.fetch('/v1/hosts')).json()).toEqual({ items: [] });
    const second = await beat(redis, 'w-2', { kvm: 'hardware', isolation: 'thread' });
    const first = await beat(redis, 'w-1');
    await beat(redis, 'w-gone', {}, Date.now() - WORKER_ALIVE_MS - 1);
    const answer = await gateway.fetch('/v1/hosts');
    expect(answer.status).toBe(200);
    const common = { hostName: 'kvm-1', slots: 2, callsInFlight: 1, startedAtMs: 1_700_000_000_000 };
    expect(await answer.json()).toEqual({
      items: [
        { workerId: 'w-1', ...common, kvm: 'software', isolation: 'process', lastSeenAtMs: first },
        { workerId: 'w-2', ...common, kvm: 'hardware', isolation: 'thread', lastSeenAtMs: second },
      ],
    });
  });

  it.each([
    ['kvm', 'quantum'],
    ['isolation', 'none'],
    ['slots', '-1'],
    ['callsInFlight', 'many'],
    ['startedAtMs', '1e400'],
  ])('leaves out, and logs, a worker whose %s is %s', async (field, value) => {
    const gateway = await startGateway();
    const redis = connect(gateway);
    await beat(redis, 'w-1');
    await beat(redis, 'w-odd', { [field]: value });
    const { items } = await (await gateway.fetch('/v1/hosts')).json();
    expect(items).toEqual([expect.objectContaining({ workerId: 'w-1' })]);
    expect(gateway.log).toContainEqual(expect.objectContaining({ workerId: 'w-odd' }));
  });

  it('answers unavailable while its Redis is away', async () => {
    const gateway = await startGateway();
    await gateway.redis.stop();
    expect(await codeOf(await gateway.fetch('/v1/hosts'))).toEqual([503, 'unavailable']);
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
