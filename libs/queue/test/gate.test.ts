import { DEFAULT_QUOTAS, keys, QUEUE_PREFIX } from '@mayfly/contracts';
import { Queue } from 'bullmq';
import { expect, test } from 'vitest';
import { Attempts } from '../src/index.js';
import { ASYNC_JOB_OPTIONS, SYNC_JOB_OPTIONS } from '../src/job-options.js';
import { endOf, GateOnRedis } from './helpers.js';

const tenantOf = (invocationId: string) => invocationId.split('-')[0] ?? '';
const quotas = (fields: Partial<typeof DEFAULT_QUOTAS>) => ({ quotas: { ...DEFAULT_QUOTAS, ...fields } });
const of = (tenant: string, fn = 'greet') => ({ tenant, function: fn });
const names = (name: string, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `${name}-${from + index}`);

test('a job of the gate is, key by key, the job that this version of BullMQ adds', async () => {
  const { redis, admit } = await bound();
  const queue = new Queue('theirs', { connection: redis, prefix: QUEUE_PREFIX });
  for (const [kind, options] of Object.entries({ sync: SYNC_JOB_OPTIONS, async: ASYNC_JOB_OPTIONS })) {
    const { kl, ...rest } = JSON.parse(options);
    await admit(`${kind}-x`, 1, { class: kind as 'sync' });
    const ours = `${QUEUE_PREFIX}:{${kind}-0}:`;
    const [ourId = ''] = await redis.lrange(`${ours}wait`, 0, -1);
    const { timestamp, ...ourJob } = await redis.hgetall(ours + ourId);
    const jobId = kind === 'async' ? ourId : undefined;
    const data = JSON.parse(ourJob['data'] ?? '');
    const added = await queue.add('invoke', data, { ...rest, keepLogs: kl, ...(jobId && { jobId }) });
    const theirs = `${QUEUE_PREFIX}:theirs:`;
    const { timestamp: theirTime, ...theirJob } = await redis.hgetall(theirs + added.id);
    const { jobId: _, ...theirOptions } = JSON.parse(theirJob['opts'] ?? '');
    expect({ ...ourJob, opts: JSON.parse(ourJob['opts'] ?? '') }).toEqual({
      ...theirJob,
      opts: theirOptions,
    });
    expect(Math.abs(Number(timestamp) - Number(theirTime))).toBeLessThan(60_000);
    expect(await redis.lrange(`${theirs}wait`, 0, -1)).toContain(added.id);
    for (const key of ['marker', 'wait', 'id'])
      expect(await redis.type(ours + key)).toBe(await redis.type(theirs + key));
    expect(await redis.zrange(`${ours}marker`, '0', '-1', 'WITHSCORES')).toEqual(
      await redis.zrange(`${theirs}marker`, '0', '-1', 'WITHSCORES'),
    );
  }
  await queue.close();
});

test('where nothing waits a call goes straight to the workers, and waits where the window is full', async () => {
  const { admit, gate, released } = await bound();
  expect(await admit('a', 6)).toMatchObject({ admitted: 6, waiting: 2 });
  expect(await released()).toEqual(names('a', 1, 4));
  expect(await gate.inUse('acme')).toEqual({
    ...{ inFlight: 0, running: 4, queued: 2 },
    queuedBytes: JSON.stringify({ invocationId: 'a-5' }).length * 2,
  });
  expect([await gate.holds('acme', 'a-4'), await gate.holds('acme', 'a-5')]).toEqual([false, true]);
});

test('each end lets the next one go, and nothing is left behind', async () => {
  const { admit, gate, runAll, redis } = await bound();
  await admit('a', 10);
  expect(await runAll()).toEqual(names('a', 1, 10));
  expect(await gate.inUse('acme')).toEqual({ inFlight: 0, running: 0, queued: 0, queuedBytes: 0 });
  expect(await gate.waiting()).toEqual({ sync: 0, async: 0 });
  const left = (await redis.keys('mf:q:*')).filter((key) => !key.includes('{'));
  expect(left.sort()).toEqual(['mf:q:gate:acme', 'mf:q:window']);
});

test('sync calls do not wait behind an async backlog', async () => {
  const { admit, released } = await bound();
  await admit('a', 50);
  await admit('s', 1, { class: 'sync' });
  expect(await released('sync')).toEqual(['s-1']);
});

test('a tenant with many calls and one with a few take turns', async () => {
  const { admit, runAll } = await bound();
  await admit('flood', 40, of('flood'));
  await admit('light', 4, of('light'));
  const order = await runAll();
  // What was released before is with the workers already.
  expect(order.slice(4, 12).map(tenantOf).sort()).toEqual([
    ...new Array(4).fill('flood'),
    ...new Array(4).fill('light'),
  ]);
  expect(order).toHaveLength(44);
});

test('a tenant of weight 3 gets three times the share of one of weight 1, and 0.5 half of it', async () => {
  const { admit, gate, run, released } = await bound();
  await gate.configure('three', { ...DEFAULT_QUOTAS, weight: 3, isPaused: false });
  await gate.configure('half', { ...DEFAULT_QUOTAS, weight: 0.5, isPaused: false });
  for (const tenant of ['one', 'three', 'half']) await admit(tenant, 200, of(tenant));
  for (const _ of await released()) await run();
  const share = { one: 0, three: 0, half: 0 };
  for (let n = 0; n < 180; n += 1)
    for (const id of await run()) share[tenantOf(id) as keyof typeof share] += 1;
  expect(share.three / share.one).toBeGreaterThan(2.8);
  expect(share.three / share.one).toBeLessThan(3.2);
  expect(share.one / share.half).toBeGreaterThan(1.8);
  expect(share.one / share.half).toBeLessThan(2.2);
});

test('a tenant alone has all slots, whatever its weight', async () => {
  const { admit, gate, released, run } = await bound();
  await gate.configure('acme', { ...DEFAULT_QUOTAS, weight: 0.1, isPaused: false });
  await admit('a', 20);
  for (let n = 0; n < 10; n += 1) await run();
  expect(await released()).toHaveLength(4);
});

test('no more calls of a tenant run than its cap, and others have the rest', async () => {
  const { admit, gate, released, run, runAll } = await bound();
  await gate.configure('capped', { ...DEFAULT_QUOTAS, maxRunning: 1, isPaused: false });
  await admit('capped', 5, of('capped'));
  await admit('free', 5, of('free'));
  expect((await released()).map(tenantOf)).toEqual(['capped', 'free', 'free', 'free']);
  for (let n = 0; n < 9; n += 1) {
    await run();
    expect((await released()).filter((id) => tenantOf(id) === 'capped').length).toBeLessThanOrEqual(1);
  }
  expect((await runAll()).length).toBe(1);
});

test('a cap of one function lets the others of its tenant run, and is kept when it changes', async () => {
  const { admit, gate, released } = await bound();
  await gate.configureFunction('acme', 'greet', { max: 1, reserved: 0 });
  await admit('greet', 5, of('acme', 'greet'));
  await admit('other', 2, of('acme', 'other'));
  expect(await released()).toEqual(['greet-1', 'other-1', 'other-2']);
  await gate.configureFunction('acme', 'greet', { max: 2, reserved: 0 });
  expect(await released()).toEqual(['greet-1', 'other-1', 'other-2', 'greet-2']);
});

test('running calls that are reserved for a function are kept free of others', async () => {
  const { admit, gate, released } = await bound();
  await gate.configure('acme', { ...DEFAULT_QUOTAS, maxRunning: 3, isPaused: false });
  await gate.configureFunction('acme', 'urgent', { reserved: 2 });
  await admit('bulk', 5, of('acme', 'bulk'));
  expect(await released()).toEqual(['bulk-1']);
  await admit('urgent', 2, of('acme', 'urgent'));
  expect(await released()).toEqual(['bulk-1', 'urgent-1', 'urgent-2']);
});

test('the calls of a paused tenant wait, those of others do not, and all go on when it is resumed', async () => {
  const { admit, gate, released, runAll } = await bound();
  await admit('acme', 6);
  await gate.configure('acme', { ...DEFAULT_QUOTAS, isPaused: true });
  await admit('other', 3, of('other'));
  expect(await runAll()).toEqual([...names('acme', 1, 4), ...names('other', 1, 3)]);
  expect((await gate.inUse('acme')).queued).toBe(2);
  await admit('later', 1);
  expect(await released()).toEqual([]);
  await gate.configure('acme', { ...DEFAULT_QUOTAS, isPaused: false });
  expect(await runAll()).toEqual(['acme-5', 'acme-6', 'later-1']);
});

test('a pack takes the places there are, and its rest follows', async () => {
  const { admit, gate, released, run } = await bound();
  await gate.configure('acme', { ...DEFAULT_QUOTAS, maxRunning: 2, isPaused: false });
  expect(await admit('p', 5, { class: 'sync' })).toMatchObject({ admitted: 5, waiting: 3 });
  expect(await released('sync')).toEqual(['p-1', 'p-2']);
  expect(await run('sync')).toEqual(['p-1', 'p-2']);
  expect(await run('sync')).toEqual(['p-3', 'p-4']);
  expect(await run('sync')).toEqual(['p-5']);
  expect(await gate.inUse('acme')).toMatchObject({ inFlight: 0, running: 0, queued: 0 });
});

test('what nobody wants any more is not released', async () => {
  const { admit, gate, ledger, released, runAll } = await bound();
  await admit('a', 6);
  const ended = endOf({ function: { tenant: 'acme', name: 'greet' } as never }, 'a-5');
  await ledger.settle([{ class: 'async', record: { ...ended, outcome: 'canceled' } }]);
  expect(await runAll()).toEqual(['a-1', 'a-2', 'a-3', 'a-4', 'a-6']);
  await admit('s', 4, { class: 'sync', window: 0 });
  await admit('gone', 1, { class: 'sync', window: 0, expiresAtMs: 1 });
  await gate.pump(4);
  expect(await released('sync')).toEqual(['s-1', 's-2', 's-3', 's-4']);
  expect(await gate.waiting()).toEqual({ sync: 0, async: 0 });
});

test('the bucket lets a burst in, and names what it has when it is empty', async () => {
  const { admit } = await bound();
  const rate = quotas({ ratePerS: 0.001, burst: 3 });
  expect(await admit('a', 2, rate)).toMatchObject({ admitted: 2, remaining: 1 });
  const second = await admit('b', 2, rate);
  expect(second).toMatchObject({ admitted: 1, remaining: 0 });
  expect(second.refusal).toMatchObject({ limit: 'ratePerS', value: 0.001 });
  expect(second.refusal?.retryAfterMs).toBeGreaterThan(900_000);
  expect(second.refusal?.retryAfterMs).toBeLessThanOrEqual(1_000_000);
});

test('a clock that is set back by an hour freezes no quota, one set forward gives no more than the burst', async () => {
  const { admit, redis } = await bound();
  const rate = quotas({ ratePerS: 1000, burst: 5 });
  await admit('a', 5, rate);
  await redis.hset('mf:q:gate:acme', 'at', Date.now() + 3_600_000);
  await admit('b', 5, rate);
  await expect.poll(async () => (await admit('c', 1, rate)).admitted).toBe(1);
  await redis.hset('mf:q:gate:acme', 'at', Date.now() - 3_600_000);
  expect((await admit('d', 50, rate)).admitted).toBe(5);
});

test('sync calls in flight have a limit, whether they run or wait', async () => {
  const { admit, run } = await bound();
  const limit = { class: 'sync', window: 1, ...quotas({ maxInFlight: 3 }) } as const;
  expect((await admit('a', 1, limit)).admitted).toBe(1);
  const second = await admit('b', 4, limit);
  expect(second.admitted).toBe(2);
  expect(second.refusal).toMatchObject({ limit: 'maxInFlight', value: 3, current: 1 });
  await run('sync');
  expect((await admit('c', 4, limit)).admitted).toBe(1);
});

test('what waits is limited by count and by bytes, and what runs is not counted', async () => {
  const { admit } = await bound();
  const count = await admit('a', 10, quotas({ maxQueued: 3 }));
  expect(count.admitted).toBe(7);
  expect(count.refusal).toMatchObject({ limit: 'maxQueued', value: 3, current: 0 });
  const bytes = await admit('b', 2, { tenant: 'other', ...quotas({ maxQueuedBytes: 30 }) });
  expect(bytes.refusal).toMatchObject({ limit: 'maxQueuedBytes', value: 30 });
  expect(bytes.admitted).toBe(1);
});

test('the platform takes no more than its depth, and no call that would start too late', async () => {
  const { admit, redis } = await bound();
  const depth = await admit('a', 10, { maxQueueDepth: 2 });
  expect(depth.admitted).toBe(6);
  expect(depth.refusal).toMatchObject({ limit: 'maxQueueDepth', value: 2 });
  await redis.hset('mf:q:window', 'perS', 1);
  const late = await admit('b', 1, { startWithinMs: 1_500 });
  expect(late.admitted).toBe(0);
  expect(late.refusal).toMatchObject({
    limit: 'startWithinMs',
    value: 1_500,
    current: 2_000,
    retryAfterMs: 500,
  });
});

test('what a refused call would have taken is not taken', async () => {
  const { admit, gate, redis } = await bound();
  await admit('a', 1, quotas({ ratePerS: 0, burst: 0 }));
  expect(await gate.inUse('acme')).toEqual({ inFlight: 0, running: 0, queued: 0, queuedBytes: 0 });
  expect(await redis.exists(keys.index('acme'))).toBe(0);
});

test('an async call is listed from its admission on', async () => {
  const { admit, redis } = await bound();
  await admit('a', 5, { window: 2 });
  expect(await redis.zrange(keys.index('acme'), '0', '-1')).toEqual(names('a', 1, 5));
});

test('places whose holders have died come back, and what waited for them goes', async () => {
  const { admit, gate, redis, released } = await bound();
  await admit('dead', 4, { class: 'sync', leaseMs: -1, window: 1 });
  await admit('a', 1, { class: 'sync', tenant: 'other', window: 1 });
  expect(await gate.inUse('acme')).toMatchObject({ inFlight: 0, running: 0 });
  expect(await released('sync')).toContain('a-1');
  await redis.zadd('mf:q:leases', Date.now() + 100 * 3_600_000, '1s other greet a-1');
  expect(await gate.pump()).toMatchObject({ healed: 1 });
  expect(await gate.inUse('other')).toMatchObject({ inFlight: 0, running: 0 });
});

test('a place is given back once', async () => {
  const { admit, gate, ledger, run } = await bound();
  await admit('a', 2, { class: 'sync' });
  const call = { class: 'sync', tenant: 'acme', function: 'greet', invocationId: 'a-1' } as const;
  await ledger.giveBack([call, call]);
  expect(await gate.inUse('acme')).toMatchObject({ inFlight: 1, running: 1 });
  await run('sync');
  expect(await gate.inUse('acme')).toMatchObject({ inFlight: 0, running: 0 });
});

test('an attempt that is to be tried again waits for its time outside of BullMQ, once', async () => {
  const { admit, gate, redis, released, run } = await bound();
  const attempts = new Attempts(redis);
  await admit('a', 1);
  await redis.rpop('mf:q:{async-0}:wait');
  const call = { tenant: 'acme', invocationId: 'a-1' };
  await attempts.begin({ ...call, workerId: 'w1', version: 1 });
  const attempt = {
    ...{ ...call, function: 'greet', delayMs: 3_600_000, faults: 0, leaseMs: 60_000 },
    ended: {
      ...{ attempt: 1, workerId: 'w1', version: 1, startedAtMs: 0, finishedAtMs: 1 },
      outcome: 'timeout' as const,
    },
    head: '{"v":1,"function":{"tenant":"acme","name":"greet"},"items":[',
    ...{ tail: ']}', item: '{"invocationId":"a-1","attempt":2}' },
  };
  expect([await attempts.putOff(attempt), await attempts.putOff(attempt)]).toEqual([true, false]);
  expect(await gate.inUse('acme')).toMatchObject({ running: 0, queued: 0 });
  expect(await gate.holds('acme', 'a-1')).toBe(true);
  const { nextDueMs = 0 } = await gate.pump();
  expect(nextDueMs).toBeGreaterThan(Date.now() + 3_500_000);
  await redis.zadd('mf:s:later', 0, (await redis.zrangeBuffer('mf:s:later', '0', '-1'))[0] ?? '');
  expect(await gate.pump()).not.toHaveProperty('nextDueMs');
  expect(await released()).toEqual(['a-1']);
  expect(await redis.exists('mf:q:{async-0}:a-1-2')).toBe(1);
  expect(await run()).toEqual(['a-1']);
  expect(await gate.inUse('acme')).toMatchObject({ running: 0, queued: 0, queuedBytes: 0 });
});

test('nothing comes in when Redis is out of memory, and nothing of it is left', async () => {
  const { admit, gate, redis } = await bound();
  await admit('a', 1, { window: 1 });
  await redis.config('SET', 'maxmemory', '1');
  await expect(admit('b', 1)).rejects.toThrow('OOM');
  await expect(admit('c', 1, { window: 1 })).rejects.toThrow('OOM');
  await redis.config('SET', 'maxmemory', '0');
  expect(await gate.inUse('acme')).toEqual({ inFlight: 0, running: 1, queued: 0, queuedBytes: 0 });
});

async function bound() {
  const parts = await GateOnRedis.start();
  return {
    ...{ redis: parts.redis, gate: parts.gate, ledger: parts.ledger },
    admit: parts.admit.bind(parts),
    released: parts.released.bind(parts),
    run: parts.run.bind(parts),
    runAll: parts.runAll.bind(parts),
  };
}
