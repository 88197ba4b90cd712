import { keys } from '@mayfly/contracts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { kvmWorks } from '../helpers/mayfly.js';
import { callOf, WorkerHost } from './worker-host.js';

let host: WorkerHost;

beforeEach(async () => {
  host = await WorkerHost.start();
});
afterEach(() => host?.stop());

test('a bad configuration ends with 78 and names every problem', async () => {
  const worker = host.spawnWorker({ MAYFLY_WORKER_SLOTS: 'many', MAYFLY_WORKER_COLOUR: 'red' });
  expect(await worker.ended()).toEqual({ code: 78, signal: null });
  expect(worker.output()).toContain('MAYFLY_WORKER_SLOTS="many"');
  expect(worker.output()).toContain('MAYFLY_WORKER_COLOUR: unknown variable');
});

describe.skipIf(!kvmWorks)('a worker process (skipped where /dev/kvm cannot be opened)', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s ends an idle worker with 0, and takes it off the list',
    async (signal) => {
      const worker = await host.startWorker('w1');
      worker.child.kill(signal);
      expect(await worker.ended()).toEqual({ code: 0, signal: null });
      expect(await host.redis.exists(keys.worker('w1'))).toBe(0);
      expect(await host.redis.zscore(keys.workers, 'w1')).toBeNull();
      expect(worker.output()).toContain('drained');
      expect(worker.output()).not.toContain('leaving anyway');
    },
  );

  test('SIGTERM lets a running call end and delivers its answer', async () => {
    const spin = await host.publish('spin');
    const worker = await host.startWorker('w1');
    await host.add('sync', spin, [callOf('Spin', [], 'void', { timeoutMs: 1_000 })]);
    await host.active('sync', 1);
    worker.child.kill('SIGTERM');
    expect(await worker.ended()).toEqual({ code: 0, signal: null });
    expect(await host.replies.received(1)).toMatchObject([{ record: { outcome: 'timeout' } }]);
  });

  test('past the grace a guest that runs for ever is killed, its caller told, its host left clean', async () => {
    const spin = await host.publish('spin');
    const worker = await host.startWorker('w1', { MAYFLY_WORKER_DRAIN_GRACE_MS: '200' });
    await host.add('sync', spin, [callOf('Spin', [], 'void', { timeoutMs: 30_000 })]);
    await host.active('sync', 1);
    worker.child.kill('SIGTERM');
    expect(await worker.ended()).toEqual({ code: 0, signal: null });
    expect(await host.replies.received(1)).toMatchObject([{ record: { outcome: 'host-fault' } }]);
  });

  test('a second signal ends the process at once', async () => {
    const spin = await host.publish('spin');
    const worker = await host.startWorker('w1');
    await host.add('sync', spin, [callOf('Spin', [], 'void', { timeoutMs: 30_000 })]);
    await host.active('sync', 1);
    worker.child.kill('SIGTERM');
    while (!worker.output().includes('draining')) await new Promise((resolve) => setTimeout(resolve, 5));
    worker.child.kill('SIGTERM');
    expect(await worker.ended()).toEqual({ code: 1, signal: null });
  });

  test('a worker outlives its Redis and goes on when that is back', async () => {
    const hello = await host.publish('hello');
    const worker = await host.startWorker('w1');
    await host.call(hello, callOf('Hello', [{ type: 'string', value: 'a' }], 'string'));
    await host.redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    const record = await host.call(hello, callOf('Hello', [{ type: 'string', value: 'b' }], 'string'));
    expect(record.outcome).toBe('succeeded');
    expect(worker.child.exitCode).toBeNull();
  });

  test('without a Redis a worker ends when it is told to', async () => {
    const worker = host.spawnWorker({ MAYFLY_REDIS_URL: 'redis+unix:///nowhere/redis.sock' });
    while (!worker.output().includes('redis')) await new Promise((resolve) => setTimeout(resolve, 5));
    worker.child.kill('SIGTERM');
    expect(await worker.ended()).toEqual({ code: 0, signal: null });
  });
});
