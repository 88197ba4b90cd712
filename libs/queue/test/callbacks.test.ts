import { type InvocationRecord, keys } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type RedisServer, startRedis } from '../../../test/helpers/redis.js';
import { CallbackQueue, Ledger } from '../src/index.js';

let server: RedisServer;
let redis: Redis;
let ledger: Ledger;
let queue: CallbackQueue;

beforeEach(async () => {
  server = await startRedis();
  redis = new Redis({ path: server.socketPath });
  ledger = new Ledger(redis);
  queue = new CallbackQueue(redis);
});

afterEach(async () => {
  redis.disconnect();
  await server.stop();
});

const ALL = { most: 100, perTenant: 100, without: [] };

async function accept(tenant: string, id: string): Promise<void> {
  await redis.set(keys.accepted(tenant, id), '{}');
  await queue.expect(tenant, id);
}

async function end(tenant: string, id: string, kind: 'sync' | 'async' = 'async'): Promise<void> {
  const record = {
    ...{ v: 1, invocationId: id, tenant, function: 'greet', version: 1, entrypoint: 'Greet' },
    ...{ returns: 'void', outcome: 'succeeded', logTail: '', attempt: 1, workerId: 'w1' },
    ...{ acceptedAtMs: Date.now(), finishedAtMs: Date.now() },
    timings: { queueUs: 0, acquireUs: 0, restoreUs: 0, runUs: 0, resultUs: 0, totalUs: 0 },
    usage: { cpuUs: 7, exits: 1, hostCalls: 0, dirtyPages: 0, source: 'warm' },
  } as InvocationRecord;
  await ledger.settle([{ class: kind, record }]);
}

test('a callback is due once its call has ended, for one claim', async () => {
  await accept('acme', 'inv_1');
  await accept('acme', 'inv_2');
  expect(await queue.claim(ALL)).toEqual([]);
  expect(await queue.stateOf('acme', 'inv_1')).toEqual({ state: 'pending', attempts: 0 });
  await end('acme', 'inv_1');
  const claimed = await queue.claim(ALL);
  expect(claimed).toMatchObject([{ tenant: 'acme', invocationId: 'inv_1', attempt: 1 }]);
  expect(await queue.claim(ALL)).toEqual([]);
});

test('a call that nobody wants to be called back of leaves nothing', async () => {
  await end('acme', 'inv_1');
  await end('acme', 'inv_2', 'sync');
  expect(await redis.keys('mf:s:cb*')).toEqual([]);
});

test('what became of it can be read, and a delivered one is not claimed again', async () => {
  await accept('acme', 'inv_1');
  await end('acme', 'inv_1');
  const [first] = await queue.claim(ALL);
  if (first === undefined) expect.unreachable();
  expect(await queue.finish(first, { state: 'pending', status: 503, error: 'status', nextInMs: 0 })).toBe(
    true,
  );
  expect(await queue.stateOf('acme', 'inv_1')).toEqual({
    ...{ state: 'pending', attempts: 1, lastStatus: 503, lastError: 'status' },
    ...{ lastAtMs: expect.any(Number), nextAtMs: expect.any(Number) },
  });
  const [second] = await queue.claim(ALL);
  if (second === undefined) expect.unreachable();
  expect(second.attempt).toBe(2);
  expect(await queue.finish(second, { state: 'delivered', status: 204 })).toBe(true);
  expect(await queue.stateOf('acme', 'inv_1')).toEqual({
    ...{ state: 'delivered', attempts: 2, lastStatus: 204, lastAtMs: expect.any(Number) },
  });
  expect(await redis.zcard('mf:s:cb:due:acme')).toBe(0);
  expect(await queue.claim(ALL)).toEqual([]);
});

test('a claim that nobody finished is due again, and its late finish changes nothing', async () => {
  const hasty = new CallbackQueue(redis, { leaseMs: 0 });
  await accept('acme', 'inv_1');
  await end('acme', 'inv_1');
  const [lost] = await hasty.claim(ALL);
  if (lost === undefined) expect.unreachable();
  await expect.poll(() => Date.now()).toBeGreaterThan(Number(lost.lease));
  const [again] = await queue.claim(ALL);
  expect(again).toMatchObject({ invocationId: 'inv_1', attempt: 2 });
  expect(await queue.finish(lost, { state: 'delivered', status: 200 })).toBe(false);
  expect(await queue.stateOf('acme', 'inv_1')).toMatchObject({ state: 'pending', attempts: 2 });
});

test('an end that said nothing is found by looking, and a call that is forgotten is dropped', async () => {
  const restless = new CallbackQueue(redis, { lookAgainMs: 0 });
  for (const id of ['inv_1', 'inv_2', 'inv_3']) {
    await redis.set(keys.accepted('acme', id), '{}');
    await restless.expect('acme', id);
  }
  // As a worker of another release ends it.
  await redis.set(keys.record('acme', 'inv_1'), '{}');
  await redis.del(keys.accepted('acme', 'inv_2'));
  expect(await queue.claim(ALL)).toMatchObject([{ invocationId: 'inv_1' }]);
  expect(await redis.zrange('mf:s:cb:due:acme', '0', '-1')).toEqual(
    expect.arrayContaining(['inv_1', 'inv_3']),
  );
  expect(await redis.zcard('mf:s:cb:due:acme')).toBe(2);
});

test('many callbacks of one tenant do not keep those of another waiting', async () => {
  for (let n = 0; n < 50; n += 1) {
    await accept('busy', `inv_b${n}`);
    await end('busy', `inv_b${n}`);
  }
  await accept('light', 'inv_l');
  await end('light', 'inv_l');
  const first = await queue.claim({ most: 8, perTenant: 4, without: [] });
  expect(first.map(({ tenant }) => tenant).sort()).toEqual(['busy', 'busy', 'busy', 'busy', 'light']);
  expect(await queue.claim({ most: 8, perTenant: 4, without: ['busy'] })).toEqual([]);
  expect(await queue.claim({ most: 2, perTenant: 4, without: [] })).toHaveLength(2);
});
