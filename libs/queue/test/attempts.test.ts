import type { Attempt, InvocationRecord } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type RedisServer, startRedis } from '../../../test/helpers/redis.js';
import { Attempts, DeadLetters, Gate, Ledger } from '../src/index.js';

const CALL = { tenant: 'acme', invocationId: 'inv_1', workerId: 'w1', version: 3 };
let server: RedisServer;
let redis: Redis;
let attempts: Attempts;
let ledger: Ledger;

beforeEach(async () => {
  server = await startRedis();
  redis = new Redis({ path: server.socketPath });
  attempts = new Attempts(redis);
  ledger = new Ledger(redis);
});
afterEach(async () => {
  redis.disconnect();
  await server.stop();
});

const ended = (attempt: number, fields: Partial<Attempt> = {}): Attempt => ({
  ...{ attempt, workerId: 'w1', version: 3, startedAtMs: 1, finishedAtMs: 2, outcome: 'guest-error' },
  ...fields,
});
const next = (attempt: number, delayMs = 0) => ({
  ...{ tenant: 'acme', function: 'greet', invocationId: 'inv_1', ended: ended(attempt), faults: 0, delayMs },
  ...{ head: '{"items":[', tail: ']}', item: '{"n":1}', leaseMs: 1_000 },
});
function record(invocationId: string, fields: Partial<InvocationRecord> = {}): InvocationRecord {
  return {
    ...{ v: 1, invocationId, tenant: 'acme', function: 'greet', version: 3, entrypoint: 'Greet' },
    ...{ returns: 'void', outcome: 'guest-error', logTail: '', attempt: 1, workerId: 'w1' },
    ...{ acceptedAtMs: Date.now(), finishedAtMs: Date.now() },
    timings: { queueUs: 0, acquireUs: 0, restoreUs: 0, runUs: 0, resultUs: 0, totalUs: 0 },
    usage: { cpuUs: 0, exits: 0, hostCalls: 0, dirtyPages: 0, source: 'warm' },
    ...fields,
  };
}

test('attempts are counted where all workers count, and each knows those before it', async () => {
  expect(await attempts.begin(CALL)).toEqual({ attempt: 1, past: [], faults: 0, isCanceled: false });
  expect(await attempts.find('acme', 'inv_1')).toMatchObject({
    state: 'starting',
    attempt: 1,
    workerId: 'w1',
  });
  await attempts.running('acme', 'inv_1', 1);
  expect(await attempts.find('acme', 'inv_1')).toMatchObject({ state: 'running' });
  expect(await attempts.putOff(next(1, 60_000))).toBe(true);
  const run = await attempts.find('acme', 'inv_1');
  expect(run).toMatchObject({ state: 'queued', attempt: 1, past: [ended(1)] });
  expect(run?.nextAttemptAtMs).toBeGreaterThan(Date.now() + 50_000);
  expect(await attempts.begin({ ...CALL, workerId: 'w2' })).toMatchObject({ attempt: 2, past: [ended(1)] });
});

test('an attempt whose worker was lost is a past one of the host, and its late words change nothing', async () => {
  await attempts.begin({ ...CALL, workerId: 'stopped "w"' });
  const second = await attempts.begin({ ...CALL, workerId: 'w2' });
  expect(second).toMatchObject({
    ...{ attempt: 2, faults: 1 },
    past: [{ attempt: 1, workerId: 'stopped "w"', version: 3, outcome: 'host-fault' }],
  });
  await attempts.running('acme', 'inv_1', 1);
  expect(await attempts.putOff(next(1))).toBe(false);
  expect(await attempts.find('acme', 'inv_1')).toMatchObject({
    state: 'starting',
    workerId: 'w2',
    attempt: 2,
  });
});

test('an attempt is put off once', async () => {
  await attempts.begin(CALL);
  expect([await attempts.putOff(next(1)), await attempts.putOff(next(1))]).toEqual([true, false]);
  expect(await redis.zcard('mf:s:later')).toBe(1);
});

test('what has an end begins no more, is put off no more, and leaves nothing', async () => {
  await attempts.begin(CALL);
  await ledger.settle([{ class: 'async', record: record('inv_1') }]);
  expect(await attempts.find('acme', 'inv_1')).toBeUndefined();
  expect(await attempts.putOff(next(1))).toBe(false);
  await attempts.running('acme', 'inv_1', 1);
  expect(await attempts.begin(CALL)).toBeUndefined();
  expect(await redis.keys('mf:s:run:*')).toEqual([]);
});

test('an attempt that is due is queued for the workers under an id of its own', async () => {
  const gate = new Gate(redis);
  await attempts.begin(CALL);
  await attempts.putOff(next(1));
  expect(await gate.holds('acme', 'inv_1')).toBe(true);
  await gate.pump(8);
  expect(await redis.lrange('mf:q:{async-0}:wait', 0, -1)).toEqual(['inv_1-2']);
  expect(await redis.hget('mf:q:{async-0}:inv_1-2', 'data')).toBe('{"items":[{"n":1}]}');
});

test('who wants to cancel learns who runs it, and no attempt begins without knowing', async () => {
  expect(await attempts.wantCancel('acme', 'inv_1')).toBeUndefined();
  await attempts.begin(CALL);
  expect(await attempts.wantCancel('acme', 'inv_1')).toBe('w1');
  await attempts.putOff(next(1));
  expect(await attempts.wantCancel('acme', 'inv_1')).toBeUndefined();
  expect(await attempts.begin(CALL)).toMatchObject({ attempt: 2, isCanceled: true });
});

const letter = JSON.stringify({ v: 1, function: { name: 'greet' }, item: {} });
const bury = (id: string, fields: Partial<InvocationRecord> = {}) =>
  ledger.settle([{ class: 'async', record: record(id, fields), letter }]);

test('a call that is given up is a dead letter if that end stands, and only then', async () => {
  const dead = new DeadLetters(redis);
  await ledger.settle([{ class: 'async', record: record('inv_1', { outcome: 'canceled' }) }]);
  await bury('inv_1');
  expect(await dead.list('acme', 'greet', { limit: 10 })).toEqual([]);
  await bury('inv_2');
  expect(await dead.list('acme', 'greet', { limit: 10 })).toMatchObject([
    { invocationId: 'inv_2', call: { v: 1, function: { name: 'greet' } } },
  ]);
  expect(await dead.list('other', 'greet', { limit: 10 })).toEqual([]);
});

test('pages of dead letters are newest first and leave none out, also of one millisecond', async () => {
  const dead = new DeadLetters(redis);
  const at = Date.now();
  for (const [id, age] of [
    ['inv_a', 5],
    ['inv_b', 1],
    ['inv_c', 1],
    ['inv_d', 1],
    ['inv_e', 0],
  ] as const)
    await bury(id, { finishedAtMs: at - age });
  const seen: string[] = [];
  for (let after: Parameters<typeof dead.list>[2]['after']; ; ) {
    const page = await dead.list('acme', 'greet', { limit: 2, after });
    seen.push(...page.map(({ invocationId }) => invocationId));
    after = page.at(-1);
    if (page.length < 2) break;
  }
  expect(seen).toEqual(['inv_e', 'inv_d', 'inv_c', 'inv_b', 'inv_a']);
  expect(await dead.summary()).toEqual({ depth: 5, oldestAtMs: at - 5 });
});

test('a dead letter is redriven once, at its time, whoever asks; a purged one never', async () => {
  const dead = new DeadLetters(redis);
  for (const id of ['inv_1', 'inv_2', 'inv_3']) await bury(id);
  expect(await dead.purge('acme', 'greet', ['inv_3', 'inv_9'])).toBe(1);
  const again = (deadId: string, delayMs: number) => ({
    ...{ deadId, invocationId: `new_${deadId}`, accepted: '{}', acceptedAtMs: 1, delayMs },
    ...{ leaseMs: 1_000, head: '{"items":[', tail: ']}', item: '{}' },
  });
  const letters = [again('inv_1', 0), again('inv_2', 60_000), again('inv_3', 0)];
  const both = await Promise.all([
    dead.redrive('acme', 'greet', letters),
    dead.redrive('acme', 'greet', letters),
  ]);
  expect(both).toEqual([
    [true, true, false],
    [false, false, false],
  ]);
  await new Gate(redis).pump(8);
  expect(await redis.lrange('mf:q:{async-0}:wait', 0, -1)).toEqual(['new_inv_1']);
  expect(await redis.zcard('mf:s:later')).toBe(1);
  expect(await dead.summary()).toEqual({ depth: 0 });
});
