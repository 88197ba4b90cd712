import { hostname } from 'node:os';
import {
  channels,
  DEFAULT_SETTINGS,
  keys,
  LIMITS,
  WORKER_ALIVE_MS,
  WORKER_LISTED_MS,
} from '@mayfly/contracts';
import { DeadLetters } from '@mayfly/queue';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { kvmKind } from '../src/cells/kvm-kind.js';
import { connectRedis } from '../src/redis.js';
import { Harness } from './helpers/harness.js';
import { functionRef, invocationItem, invocationJob, replyToken } from './helpers/jobs.js';
import { deferred, report, untilKilled } from './helpers/scripted-images.js';

let harness: Harness;

beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(() => harness.stop());

test('a sync call is answered over the socket, with its token, and has a record', async () => {
  await harness.startWorker();
  const token = replyToken();
  const item = invocationItem({ replyToken: token });
  await harness.add('sync', invocationJob([item]));
  const [reply] = await harness.replies.received(1);
  const result = { kind: 'inline', value: { type: 'string', value: 'hello' } };
  const { invocationId } = item;
  expect(reply).toMatchObject({ token, record: { invocationId, outcome: 'succeeded', result } });
  expect(await harness.recorded(item.invocationId)).toEqual(reply?.record);
  const ttlMs = await harness.redis.pttl(keys.record('acme', item.invocationId));
  expect(ttlMs).toBeGreaterThan(LIMITS.recordRetentionMs - 60_000);
});

test('a completed job leaves nothing in the queue, and nothing of the result', async () => {
  await harness.startWorker();
  const items = Array.from({ length: 16 }, () => invocationItem({ replyToken: replyToken() }));
  await harness.add('sync', invocationJob(items));
  await harness.replies.received(16);
  await harness.drained('sync');
  expect(await harness.queues.sync.getJobCounts('completed', 'failed')).toEqual({ completed: 0, failed: 0 });
  const queueKeys = await harness.redis.keys('mf:q:*');
  for (const key of queueKeys.filter((name) => name.endsWith(':events')))
    expect(JSON.stringify(await harness.redis.xrange(key, '-', '+'))).not.toContain('hello');
});

test('the calls of one job are answered one by one, the slow one last', async () => {
  await harness.startWorker();
  const gate = deferred();
  harness.images.script = async ({ entrypoint }) => {
    if (entrypoint === 'Slow') await gate.promise;
    return report();
  };
  const items = ['Slow', 'Fast', 'Fast'].map((entrypoint) =>
    invocationItem({ entrypoint, replyToken: replyToken() }),
  );
  await harness.add('sync', invocationJob(items));
  await harness.replies.received(2);
  gate.resolve();
  const replies = await harness.replies.received(3);
  expect(replies.map(({ record }) => record.entrypoint)).toEqual(['Fast', 'Fast', 'Slow']);
});

test('an async call has a record when its job is done', async () => {
  await harness.startWorker();
  const item = invocationItem();
  await harness.add('async', invocationJob([item]));
  await harness.drained('async');
  expect(await harness.record(item.invocationId)).toMatchObject({ outcome: 'succeeded', attempt: 1 });
});

test('a gateway without a reachable socket is told through Redis, after the record', async () => {
  await harness.startWorker();
  const subscriber = connectRedis(harness.server.url);
  try {
    const messages: { message: string; record: unknown }[] = [];
    const both = deferred();
    subscriber.on('message', async (_channel, message) => {
      const record = await harness.record(message.split(' ')[2] ?? '');
      messages.push({ message, record });
      if (messages.length === 2) both.resolve();
    });
    await subscriber.subscribe(channels.reply('g9'));
    const items = [
      invocationItem({ replyToken: replyToken() }),
      invocationItem({ replyToken: replyToken() }),
    ];
    const [gone, without] = items;
    if (!gone || !without) throw new Error('two items');
    const lost = { gatewayId: 'g9', socketPath: '/nowhere/reply.sock' };
    await harness.add('sync', invocationJob([gone], { reply: lost }));
    await harness.add('sync', invocationJob([without], { reply: { gatewayId: 'g9' } }));
    await both.promise;
    expect(messages.map(({ message }) => message).sort()).toEqual(
      items.map(({ replyToken: token, invocationId }) => `${token} acme ${invocationId}`).sort(),
    );
    for (const { record } of messages) expect(record).toMatchObject({ outcome: 'succeeded' });
  } finally {
    subscriber.disconnect();
  }
});

test('a large result travels whole to the caller and is kept as a blob', async () => {
  await harness.startWorker();
  const bytes = Buffer.alloc(LIMITS.resultBytes, 'abc');
  harness.images.script = () => report({ value: { type: 'bytes', value: bytes } });
  const item = invocationItem({ replyToken: replyToken(), returns: 'bytes' });
  await harness.add('sync', invocationJob([item]));
  const [reply] = await harness.replies.received(1);
  expect(bytes.equals(reply?.body ?? Buffer.alloc(0))).toBe(true);
  const { result } = await harness.recorded(item.invocationId);
  if (result?.kind !== 'blob') throw new Error('expected a blob');
  const kept = await harness.blobs.get('acme', result.sha256, { limitBytes: LIMITS.resultBytes });
  expect(kept.equals(bytes)).toBe(true);
});

test.each([
  ['never', 'succeeded', true],
  ['never', 'aborted', true],
  ['on-failure', 'succeeded', true],
  ['on-failure', 'aborted', false],
] as const)(
  'of a function that stores results %s, one that %s is answered, and dropped: %s',
  async (storeResult, outcome, isDropped) => {
    await harness.startWorker();
    const bytes = Buffer.alloc(LIMITS.inlineBytes + 1, 'abc');
    const ends = outcome === 'succeeded' ? { value: { type: 'bytes' as const, value: bytes } } : {};
    harness.images.script = () => report({ outcome, ...ends });
    const item = invocationItem({ replyToken: replyToken(), returns: 'bytes', storeResult });
    await harness.add('sync', invocationJob([item]));
    const [reply] = await harness.replies.received(1);
    expect(reply?.record.resultDropped).toBeUndefined();
    expect(reply?.body.byteLength).toBe(outcome === 'succeeded' ? bytes.byteLength : 0);
    const record = await harness.recorded(item.invocationId);
    expect([record.outcome, record.result, record.resultDropped]).toEqual([
      outcome,
      undefined,
      isDropped ? true : undefined,
    ]);
    const { result } = reply?.record ?? {};
    if (result?.kind === 'blob') expect(await harness.blobs.has('acme', result.sha256)).toBe(false);
  },
);

test('where the record carries the answer, it has all of it', async () => {
  await harness.startWorker();
  const item = invocationItem({ replyToken: replyToken(), storeResult: 'never' });
  await harness.add('sync', invocationJob([item], { reply: { gatewayId: 'g9' } }));
  await harness.drained('sync');
  expect((await harness.recorded(item.invocationId)).result).toMatchObject({ kind: 'inline' });
});

test('of two records of one invocation the first stands', async () => {
  await harness.startWorker();
  const item = invocationItem();
  await harness.redis.set(keys.record('acme', item.invocationId), '{"first":true}');
  await harness.add('async', invocationJob([item]));
  await harness.drained('async');
  expect(await harness.record(item.invocationId)).toEqual({ first: true });
});

test('a host fault of an async call is tried again and cured', async () => {
  await harness.startWorker();
  let calls = 0;
  harness.images.script = ({ entrypoint }) => {
    if (entrypoint === 'Fail' && ++calls < 2) throw new Error('flaky host');
    return report();
  };
  const items = [invocationItem({ entrypoint: 'Fail' }), invocationItem()];
  await harness.add('async', invocationJob(items), { attempts: 3 });
  await harness.drained('async');
  const records = await Promise.all(items.map(({ invocationId }) => harness.record(invocationId)));
  expect(records.map((record) => [record?.outcome, record?.attempt])).toEqual([
    ['succeeded', 2],
    ['succeeded', 1],
  ]);
});

test('a call that every host fails is on record with all its attempts, and is a dead letter', async () => {
  await harness.startWorker();
  harness.images.script = () => {
    throw new Error('broken host');
  };
  const item = invocationItem({ retry: { ...DEFAULT_SETTINGS.retry, minBackoffMs: 1 } });
  await harness.add('async', invocationJob([item]));
  await harness.drained('async');
  const record = await harness.record(item.invocationId);
  expect(record).toMatchObject({ outcome: 'host-fault', state: 'dead_lettered', attempt: 5 });
  expect(record?.attempts?.map(({ outcome }) => outcome)).toEqual(Array(5).fill('host-fault'));
  expect(await new DeadLetters(harness.redis).list('acme', 'greet', { limit: 10 })).toMatchObject([
    { invocationId: item.invocationId, call: { v: 1, function: functionRef(), item } },
  ]);
});

test('a guest fault never fails its job', async () => {
  await harness.startWorker();
  harness.images.script = () => report({ outcome: 'aborted', detail: { message: 'no' } });
  const item = invocationItem();
  await harness.add('async', invocationJob([item]), { attempts: 3 });
  await harness.drained('async');
  expect(await harness.record(item.invocationId)).toMatchObject({ outcome: 'aborted', attempt: 1 });
  expect(await harness.queues.async.getFailedCount()).toBe(0);
});

test('a job that cannot be read fails once, by name, and others go on', async () => {
  await harness.startWorker();
  await harness.queues.async.add('invoke', { v: 1, items: 'none' }, { attempts: 5 });
  await harness.queues.async.add('invoke', { v: 3 }, { attempts: 5 });
  const item = invocationItem();
  await harness.add('async', invocationJob([item]));
  await harness.drained('async');
  const failed = await harness.queues.async.getFailed();
  expect(
    failed.map(({ failedReason, attemptsStarted }) => [failedReason.split(':')[0], attemptsStarted]),
  ).toEqual(
    expect.arrayContaining([
      ['MAYFLY_ERR_JOB_MALFORMED', 1],
      ['MAYFLY_ERR_JOB_VERSION', 1],
    ]),
  );
  expect(await harness.record(item.invocationId)).toMatchObject({ outcome: 'succeeded' });
});

test('an announced version is initialised before its first call, an unreadable announcement is ignored', async () => {
  await harness.startWorker();
  await harness.redis.publish(channels.versions, '{');
  await harness.redis.publish(channels.versions, JSON.stringify({ tenant: 'x' }));
  await harness.redis.publish(channels.versions, JSON.stringify(functionRef()));
  while (harness.images.openSandboxes === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const item = invocationItem();
  await harness.add('async', invocationJob([item]));
  expect((await harness.recorded(item.invocationId)).usage.source).toBe('warm');
  expect(harness.images.builds).toBe(1);
});

test('a version that requires another kind of KVM is not even initialised when it is announced', async () => {
  await harness.startWorker();
  const requiresKvm = kvmKind() === 'hardware' ? 'software' : 'hardware';
  const other = functionRef({ requiresKvm, name: 'other' });
  await harness.redis.publish(channels.versions, JSON.stringify(other));
  await harness.redis.publish(channels.versions, JSON.stringify(functionRef({ requiresKvm: kvmKind() })));
  while (harness.images.openSandboxes === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(harness.images.builds).toBe(1);
  const item = invocationItem({ replyToken: replyToken() });
  await harness.add('sync', invocationJob([item], { v: 2, function: other }));
  expect(await harness.replies.received(1)).toMatchObject([{ record: { outcome: 'host-fault' } }]);
  expect(harness.images.builds).toBe(1);
});

test('a live worker is in the lists, with what it is and does; one that has left is not', async () => {
  const worker = await harness.startWorker({ workerId: 'w-beat' });
  const beatMs = Number(await harness.redis.zscore(keys.workers, 'w-beat'));
  expect(Date.now() - beatMs).toBeLessThan(WORKER_ALIVE_MS);
  expect(await harness.redis.hgetall(keys.worker('w-beat'))).toMatchObject({
    hostName: hostname(),
    slots: '2',
    callsInFlight: '0',
    kvm: kvmKind(),
    isolation: 'thread',
    state: 'active',
  });
  expect(await harness.redis.pttl(keys.worker('w-beat'))).toBeLessThanOrEqual(WORKER_LISTED_MS);
  expect(await harness.redis.zscore(keys.seenWorkers, 'w-beat')).not.toBeNull();
  await worker.drain(1000);
  expect(await harness.redis.zscore(keys.workers, 'w-beat')).toBeNull();
  expect(await harness.redis.zscore(keys.seenWorkers, 'w-beat')).toBeNull();
  expect(await harness.redis.exists(keys.worker('w-beat'))).toBe(0);
});

test('a cordoned worker ends what it runs, takes nothing, and takes calls again once it is uncordoned', async () => {
  await harness.startWorker({ workerId: 'w-1' });
  const [started, gate] = [deferred(), deferred()];
  harness.images.script = async () => {
    started.resolve();
    await gate.promise;
    return report();
  };
  const [running, later] = [invocationItem(), invocationItem()];
  await harness.add('async', invocationJob([running]));
  await started.promise;
  await harness.redis.hset(keys.hostOrders, 'w-1', 'cordon');
  await inState('w-1', 'cordoned');
  expect(await harness.redis.zscore(keys.workers, 'w-1')).toBeNull();
  gate.resolve();
  expect(await harness.recorded(running.invocationId)).toMatchObject({ outcome: 'succeeded' });
  await vi.waitFor(async () => expect(await harness.redis.info('clients')).toContain('blocked_clients:0\r'));
  await harness.add('async', invocationJob([later]));
  // Some heartbeats long, nobody takes it.
  const seenMs = async () => Number(await harness.redis.zscore(keys.seenWorkers, 'w-1'));
  const sinceMs = await seenMs();
  while ((await seenMs()) < sinceMs + 2000) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(await harness.record(later.invocationId)).toBeUndefined();
  await harness.redis.hdel(keys.hostOrders, 'w-1');
  expect(await harness.recorded(later.invocationId)).toMatchObject({ outcome: 'succeeded', attempt: 1 });
  await inState('w-1', 'active');
});

test('a worker that is told to drain kills what outlasts its grace, and another one runs it', async () => {
  await harness.startWorker({ workerId: 'w-1', drainGraceMs: 50 });
  const started = deferred();
  harness.images.script = async ({ options }) => {
    started.resolve();
    await new Promise((resolve) => options.signal?.addEventListener('abort', resolve));
    return report({ outcome: 'canceled' });
  };
  const item = invocationItem();
  await harness.add('async', invocationJob([item]), { attempts: 3 });
  await started.promise;
  await harness.redis.hset(keys.hostOrders, 'w-1', 'drain');
  await inState('w-1', 'drained');
  expect(await harness.record(item.invocationId)).toBeUndefined();
  harness.images.script = async () => report();
  await harness.startWorker({ workerId: 'w-2' });
  await harness.drained('async');
  expect(await harness.record(item.invocationId)).toMatchObject({ outcome: 'succeeded', workerId: 'w-2' });
});

/** Resolves once the worker says so. */
async function inState(workerId: string, state: string): Promise<void> {
  await vi.waitFor(async () => expect(await harness.redis.hget(keys.worker(workerId), 'state')).toBe(state), {
    timeout: 10_000,
  });
}

test('a drain lets running calls end and takes no new ones', async () => {
  const worker = await harness.startWorker();
  const started = deferred();
  const gate = deferred();
  harness.images.script = async () => {
    started.resolve();
    await gate.promise;
    return report();
  };
  const running = invocationItem({ replyToken: replyToken() });
  await harness.add('sync', invocationJob([running]));
  await started.promise;
  const drained = worker.drain(20_000);
  // A call that comes while a wait for calls is being ended may still be taken.
  await vi.waitFor(async () => expect(await harness.redis.info('clients')).toContain('blocked_clients:0\r'));
  const later = invocationItem({ replyToken: replyToken() });
  await harness.add('sync', invocationJob([later]));
  gate.resolve();
  await drained;
  expect(
    (await harness.replies.received(1)).map(({ record }) => [record.invocationId, record.outcome]),
  ).toEqual([[running.invocationId, 'succeeded']]);
  expect(await harness.queues.sync.getWaitingCount()).toBe(1);
  expect([harness.images.openSandboxes, harness.images.openImages.size]).toEqual([0, 0]);
});

test('past the grace calls are killed: sync ones are answered, async ones are made again by another worker', async () => {
  const worker = await harness.startWorker();
  let started = 0;
  const both = deferred();
  harness.images.script = ({ options }) => {
    started += 1;
    if (started === 2) both.resolve();
    return untilKilled(options);
  };
  const sync = invocationItem({ replyToken: replyToken() });
  const background = invocationItem();
  await harness.add('sync', invocationJob([sync]));
  await harness.add('async', invocationJob([background]));
  await both.promise;
  await worker.drain(50);
  expect(await harness.replies.received(1)).toMatchObject([
    { record: { invocationId: sync.invocationId, outcome: 'host-fault' } },
  ]);
  expect(await harness.record(background.invocationId)).toBeUndefined();

  harness.images.script = () => report();
  await harness.startWorker({ workerId: 'w2' });
  await harness.drained('async');
  expect(await harness.record(background.invocationId)).toMatchObject({
    ...{ outcome: 'succeeded', workerId: 'w2', attempt: 2 },
    attempts: [
      { workerId: 'w1', outcome: 'host-fault', detail: 'The worker shut down before the call ended' },
      { workerId: 'w2', outcome: 'succeeded' },
    ],
  });
});

test('two workers share a queue, and every call is answered once', async () => {
  await Promise.all([harness.startWorker(), harness.startWorker({ workerId: 'w2' })]);
  const items = Array.from({ length: 200 }, () => invocationItem({ replyToken: replyToken() }));
  await Promise.all(items.map((item) => harness.add('sync', invocationJob([item]))));
  const replies = await harness.replies.received(200);
  expect(new Set(replies.map(({ token }) => token)).size).toBe(200);
  await harness.drained('sync');
  expect(harness.replies.replies).toHaveLength(200);
});
