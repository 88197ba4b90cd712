import { channels, type InvocationRecord, keys, LIMITS } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type RedisServer, startRedis } from '../../../test/helpers/redis.js';
import { Ledger, usageOf } from '../src/index.js';

const DAY = Date.UTC(2026, 0, 2);
let server: RedisServer;
let redis: Redis;
let ledger: Ledger;

beforeEach(async () => {
  server = await startRedis();
  redis = new Redis({ path: server.socketPath });
  ledger = new Ledger(redis);
});

afterEach(async () => {
  redis.disconnect();
  await server.stop();
});

function record(n: number, fields: Partial<InvocationRecord> = {}): InvocationRecord {
  return {
    ...{ v: 1, invocationId: `inv_${n}`, tenant: 'acme', function: 'greet', version: 1, entrypoint: 'Greet' },
    ...{ returns: 'void', outcome: 'succeeded', logTail: '', attempt: 1, workerId: 'w1' },
    ...{ acceptedAtMs: DAY - 5, finishedAtMs: DAY },
    timings: { queueUs: 0, acquireUs: 0, restoreUs: 0, runUs: 0, resultUs: 0, totalUs: 0 },
    usage: {
      ...{ cpuUs: 7, exits: 1, hostCalls: 0, dirtyPages: 0, source: 'warm' },
      ...{ memoryMibUs: 20, inputBytes: 3, outputBytes: 4 },
    },
    ...fields,
  };
}
const usage = () => usageOf(redis, 'acme', { fromMs: DAY - 86_400_000, untilMs: DAY });

test('an end is on record once: who comes second learns what stands', async () => {
  expect(await ledger.settle([{ class: 'sync', record: record(1) }])).toEqual([true]);
  const second = record(1, { outcome: 'timeout' });
  expect(await ledger.settle([{ class: 'sync', record: second }])).toEqual([false]);
  expect(await ledger.settleOrFind({ class: 'sync', record: second })).toMatchObject({
    outcome: 'succeeded',
  });
  expect(await ledger.settleOrFind({ class: 'sync', record: record(2) })).toEqual(record(2));
  expect(await redis.pttl(keys.record('acme', 'inv_1'))).toBeGreaterThan(LIMITS.recordRetentionMs - 60_000);
});

test('who looks at an async call hears of its end once; of a sync one its reply tells', async () => {
  const subscriber = redis.duplicate();
  const heard: string[] = [];
  subscriber.on('message', (channel: string) => heard.push(channel));
  const channelOf = (n: number) => channels.ended('acme', `inv_${n}`);
  await subscriber.subscribe(channelOf(1), channelOf(2), 'last');
  await ledger.settle([{ class: 'sync', record: record(1) }]);
  for (let time = 1; time <= 2; time += 1) await ledger.settle([{ class: 'async', record: record(2) }]);
  await redis.publish('last', '');
  await expect.poll(() => heard).toEqual([channelOf(2), 'last']);
  subscriber.disconnect();
});

test('of one command with the same call twice the first end stands', async () => {
  const ends = [record(1), record(1, { outcome: 'timeout' })].map((end) => ({
    class: 'sync' as const,
    record: end,
  }));
  expect(await ledger.settle(ends)).toEqual([true, false]);
});

test('usage adds up to the records that stand, by day and function', async () => {
  const all = [
    record(1),
    record(2, { outcome: 'timeout' }),
    record(3, { function: 'other' }),
    record(4, { finishedAtMs: DAY - 1 }),
    record(1, { outcome: 'timeout' }),
  ];
  await ledger.settle(all.slice(0, 3).map((end) => ({ class: 'sync', record: end })));
  await ledger.settle(all.slice(3).map((end) => ({ class: 'async', record: end })));
  const counts = { cpuUs: 7, memoryMibUs: 20, inputBytes: 3, outputBytes: 4 };
  const twice = { cpuUs: 14, memoryMibUs: 40, inputBytes: 6, outputBytes: 8 };
  expect(await usage()).toEqual([
    { day: '2026-01-01', function: 'greet', invocations: 1, failed: 0, ...counts },
    { day: '2026-01-02', function: 'greet', invocations: 2, failed: 1, ...twice },
    { day: '2026-01-02', function: 'other', invocations: 1, failed: 0, ...counts },
  ]);
  expect(await redis.ttl('mf:s:use:acme:2026-01-02')).toBeGreaterThan(390 * 24 * 3600);
});

test('counts stay whole numbers where they are large, and what is none counts nothing', async () => {
  const large = record(1, { usage: { ...record(1).usage, cpuUs: 2 ** 50 + 1, memoryMibUs: Number.NaN } });
  await ledger.settle([{ class: 'sync', record: large }]);
  await ledger.settle([{ class: 'sync', record: record(2) }]);
  expect(await usage()).toMatchObject([{ cpuUs: 2 ** 50 + 8, memoryMibUs: 20, invocations: 2 }]);
});

test('a sync call is in the index of its tenant from its end on', async () => {
  await ledger.settle([
    { class: 'sync', record: record(2, { acceptedAtMs: 2_000 }) },
    { class: 'sync', record: record(1, { acceptedAtMs: 1_000.5 }) },
  ]);
  const found = await redis.zrange(keys.index('acme'), '0', '-1', 'WITHSCORES');
  expect(found).toEqual(['inv_1', '1000.5', 'inv_2', '2000']);
});

test('the index forgets calls whose records have expired', async () => {
  const now = Date.now();
  await redis.zadd(keys.index('acme'), now - LIMITS.recordRetentionMs - 1_000, 'inv_old');
  const ends = Array.from({ length: 20 }, (_, n) => ({
    class: 'sync' as const,
    record: record(n, { acceptedAtMs: now }),
  }));
  await ledger.settle(ends);
  expect(await redis.zrange(keys.index('acme'), '0', '-1')).not.toContain('inv_old');
  expect(await redis.zcard(keys.index('acme'))).toBe(20);
});
