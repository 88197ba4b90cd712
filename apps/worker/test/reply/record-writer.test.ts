import { type InvocationRecord, keys, LIMITS } from '@mayfly/contracts';
import type { End } from '@mayfly/queue';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type RedisServer, startRedis } from '../../../../test/helpers/redis.js';
import { connectRedis, disconnectRedis } from '../../src/redis.js';
import { RecordWriter } from '../../src/reply/record-writer.js';

let server: RedisServer;
let host: Redis;
let reader: Redis;
let writer: RecordWriter;
let failed: string[];

beforeEach(async () => {
  server = await startRedis();
  [host, reader] = [connectRedis(server.url), connectRedis(server.url)];
  for (const redis of [host, reader]) redis.on('error', () => undefined);
  failed = [];
  writer = new RecordWriter(host, (_error, invocationId) => failed.push(invocationId));
});

afterEach(async () => {
  for (const redis of [host, reader]) await disconnectRedis(redis);
  await server.stop();
});

const key = (n: number) => keys.record('acme', `inv_${n}`);
const kept = (...numbers: number[]) => reader.mget(numbers.map(key));
function record(n: number): End {
  const record: InvocationRecord = {
    ...{ v: 1, invocationId: `inv_${n}`, tenant: 'acme', function: 'greet', version: 1, entrypoint: 'Greet' },
    ...{ returns: 'void', outcome: 'succeeded', logTail: '', attempt: 1, workerId: 'w1' },
    ...{ acceptedAtMs: 1_000, finishedAtMs: 2_000 },
    timings: { queueUs: 0, acquireUs: 0, restoreUs: 0, runUs: 0, resultUs: 0, totalUs: 0 },
    usage: { cpuUs: 7, exits: 1, hostCalls: 0, dirtyPages: 0, source: 'warm' },
  };
  return { class: 'sync', record, json: `{"n":${n}}` };
}
async function scripts(): Promise<number> {
  const calls = (await reader.info('commandstats')).matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g);
  return [...calls].reduce((sum, [, count]) => sum + Number(count), 0);
}

test('a record that waits for none is kept at once, until its time is over', async () => {
  await writer.keep(record(1), false);
  expect(await kept(1)).toEqual(['{"n":1}']);
  const left = await reader.pttl(key(1));
  expect(left).toBeGreaterThan(LIMITS.recordRetentionMs - 60_000);
  expect(left).toBeLessThanOrEqual(LIMITS.recordRetentionMs);
});

test('records that were gathered are kept by one command, each with its time', async () => {
  await writer.keep(record(0), true);
  const before = await scripts();
  const writes = [1, 2, 3].map((n) => writer.keep(record(n), true));
  writer.leave();
  await Promise.all(writes);
  expect(await kept(1, 2, 3)).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']);
  expect(await reader.pttl(key(3))).toBeGreaterThan(LIMITS.recordRetentionMs - 60_000);
  expect((await scripts()) - before).toBe(1);
});

test('records that nobody lets go are kept all the same', async () => {
  await Promise.all([writer.keep(record(1), true), writer.keep(record(2), true)]);
  expect(await kept(1, 2)).toEqual(['{"n":1}', '{"n":2}']);
});

test('a record that waits for none takes along those that were gathered', async () => {
  const gathered = writer.keep(record(1), true);
  await writer.keep(record(2), false);
  await gathered;
  expect(await kept(1, 2)).toEqual(['{"n":1}', '{"n":2}']);
});

test('the record that came first stands, among many as alone', async () => {
  await reader.set(key(1), 'first');
  await writer.keep(record(1), false);
  const writes = [writer.keep(record(1), true), writer.keep(record(2), true)];
  writer.leave();
  await Promise.all(writes);
  expect(await kept(1, 2)).toEqual(['first', '{"n":2}']);
});

test('what was written before a command on the same connection is there when that has ended', async () => {
  for (const n of [1, 2, 3]) void writer.keep(record(n), true);
  writer.leave();
  await host.set('done', '1');
  expect(await kept(1, 2, 3)).toEqual(['{"n":1}', '{"n":2}', '{"n":3}']);
});

test('every record of a command that failed is told of, and its waiter', async () => {
  await reader.set(keys.index('acme'), 'no index');
  const writes = [writer.keep(record(1), true), writer.keep(record(2), true)];
  writer.leave();
  const ends = await Promise.allSettled(writes);
  expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  expect(failed).toEqual(['inv_1', 'inv_2']);
});

test('an end is kept although Redis is out of memory: what was let in ends', async () => {
  await reader.config('SET', 'maxmemory', '1');
  await writer.keep(record(1), false);
  expect(await kept(1)).toEqual(['{"n":1}']);
});

test('a flush waits for what was gathered', async () => {
  void writer.keep(record(1), true);
  await writer.flushed();
  expect(await kept(1)).toEqual(['{"n":1}']);
});
