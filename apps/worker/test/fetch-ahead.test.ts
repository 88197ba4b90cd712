import { setImmediate as turn } from 'node:timers/promises';
import { QUEUE_PREFIX } from '@mayfly/contracts';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type RedisServer, startRedis } from '../../../test/helpers/redis.js';
import { FetchAheadWorker } from '../src/fetch-ahead.js';
import { connectRedis, disconnectRedis } from '../src/redis.js';

const QUEUE = '{ahead}';
const KEEP = { removeOnComplete: false };

let server: RedisServer;
let gateway: Redis;
let host: Redis;
let queue: Queue;
let ran: unknown[];
const workers: FetchAheadWorker[] = [];

beforeEach(async () => {
  server = await startRedis();
  [gateway, host] = [connectRedis(server.url), connectRedis(server.url)];
  for (const redis of [gateway, host]) redis.on('error', () => undefined);
  queue = new Queue(QUEUE, { connection: gateway, prefix: QUEUE_PREFIX });
  queue.on('error', () => undefined);
  ran = [];
});

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.close()));
  await queue.close();
  for (const redis of [gateway, host]) await disconnectRedis(redis);
  await server.stop();
});

async function startWorker(workerId: string, work?: (data: unknown) => Promise<void>) {
  const worker = new FetchAheadWorker(
    QUEUE,
    async (job) => {
      ran.push(job.data);
      await work?.(job.data);
    },
    { redis: host, workerId, concurrency: 3, lockDuration: 10_000, drainDelay: 5 },
  );
  worker.on('error', () => undefined);
  workers.push(worker);
  await worker.waitUntilReady();
  return worker;
}

async function calls(command: string): Promise<number> {
  const stats = await gateway.info('commandstats');
  return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
}

const states = () => queue.getJobCounts('waiting', 'active', 'completed', 'failed');
const isWaiting = () =>
  vi.waitFor(async () => expect(await gateway.info('clients')).toContain('blocked_clients:1\r'));

/** Adds jobs one at a time, each when the one before has ended and the worker waits again. */
async function runOneByOne(first: number, last: number): Promise<void> {
  for (let n = first; n <= last; n += 1) {
    await queue.add('call', n, KEEP);
    await vi.waitFor(async () => expect(await gateway.zcard(queue.keys['completed'] ?? '')).toBe(n), {
      interval: 5,
    });
    await isWaiting();
  }
}

test('a job that finds an idle worker costs one wait: its marker wakes nobody in vain', async () => {
  await startWorker('w1');
  await runOneByOne(1, 2);
  const [waits, scripts] = [await calls('bzpopmin'), await calls('evalsha')];
  await runOneByOne(3, 12);
  expect((await calls('bzpopmin')) - waits).toBe(10);
  // Added, fetched, marker cleared, completed.
  expect((await calls('evalsha')) - scripts).toBe(40);
  expect(await gateway.exists(queue.keys['marker'] ?? '')).toBe(0);
});

test('a backlog runs, each job once, and leaves no lock and no active job', async () => {
  const data = Array.from({ length: 60 }, (_, n) => n);
  await queue.addBulk(data.map((n) => ({ name: 'call', data: n, opts: KEEP })));
  await startWorker('w1', () => turn());
  await vi.waitFor(async () => expect((await states())['completed']).toBe(60));
  expect(ran.toSorted((a, b) => Number(a) - Number(b))).toEqual(data);
  expect(await states()).toMatchObject({ waiting: 0, active: 0, failed: 0 });
  expect(await gateway.keys(`${QUEUE_PREFIX}:*:lock`)).toEqual([]);
});

test('workers that share a queue leave no job behind, however jobs and waits meet', async () => {
  await Promise.all([startWorker('w1', () => turn()), startWorker('w2', () => turn())]);
  for (let n = 0; n < 300; n += 1) {
    const added = queue.add('call', n, KEEP);
    if (n % 7 === 0) await added;
    if (n % 50 === 0) await vi.waitFor(async () => expect((await states())['completed']).toBe(n + 1));
  }
  await vi.waitFor(async () => expect((await states())['completed']).toBe(300), { timeout: 4_000 });
  expect(new Set(ran).size).toBe(300);
  expect(ran).toHaveLength(300);
});

test('a job that arrives as a worker closes runs or waits for another worker', async () => {
  for (let n = 0; n < 20; n += 1) {
    const worker = await startWorker(`w${n}`);
    await isWaiting();
    const added = queue.add('call', n, KEEP);
    for (let turns = 0; turns < n % 4; turns += 1) await turn();
    await Promise.all([added, worker.close()]);
    expect(await states()).toMatchObject({ active: 0, failed: 0 });
  }
  const { waiting = 0, completed = 0 } = await states();
  expect(waiting + completed).toBe(20);
});

test('a worker whose connections were cut takes the next job', async () => {
  await startWorker('w1');
  await isWaiting();
  await gateway.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await queue.add('call', 1, KEEP);
  await vi.waitFor(async () => expect((await states())['completed']).toBe(1), { timeout: 8_000 });
});

test('a job that throws is failed under its own lock', async () => {
  await startWorker('w1', () => Promise.reject(new TypeError('no')));
  await isWaiting();
  await queue.add('call', 1, KEEP);
  await vi.waitFor(async () => expect(await states()).toMatchObject({ failed: 1, active: 0 }));
});
