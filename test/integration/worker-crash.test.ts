import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { kvmWorks } from '../helpers/mayfly.js';
import { callOf, WorkerHost } from './worker-host.js';

/** Lock and stalled check of a dead worker's jobs take ten to fifteen seconds. */
const RECOVERY_TIMEOUT_MS = 60_000;

describe.skipIf(!kvmWorks)('a worker that is killed (skipped where /dev/kvm cannot be opened)', () => {
  let host: WorkerHost;

  beforeEach(async () => {
    host = await WorkerHost.start();
  });
  afterEach(() => host?.stop());

  test(
    'loses no async call: what ran goes to another worker, what had ended is not run again',
    async () => {
      const hello = await host.publish('hello');
      const spin = await host.publish('spin');
      const first = await host.startWorker('w1');
      const ended = callOf('Work', [{ type: 'uint', value: 1 }], 'uint');
      const spinning = callOf('Spin', [], 'void', { timeoutMs: 3_000 });
      // One job, so that its retry has to tell the two apart.
      await host.add('async', spin, [ended, spinning]);
      const before = await host.recorded(ended.invocationId);
      const waiting = Array.from({ length: 20 }, (_, index) =>
        callOf('Hello', [{ type: 'string', value: String(index) }], 'string'),
      );
      await host.active('async', 1);
      first.child.kill('SIGKILL');
      await first.ended();
      for (const item of waiting) await host.add('async', hello, [item]);

      await host.startWorker('w2');
      for (const [index, { invocationId }] of waiting.entries())
        expect(await host.recorded(invocationId)).toMatchObject({
          outcome: 'succeeded',
          result: { value: { value: `Hello, ${index}!` } },
        });
      expect(await host.recorded(spinning.invocationId)).toMatchObject({
        outcome: 'timeout',
        workerId: 'w2',
        attempt: 2,
      });
      expect(await host.record(ended.invocationId)).toEqual(before);
    },
    RECOVERY_TIMEOUT_MS,
  );

  test(
    'runs no sync call twice: its callers are told that the host failed',
    async () => {
      const spin = await host.publish('spin');
      const first = await host.startWorker('w1');
      const [spinning] = await host.add('sync', spin, [callOf('Spin', [], 'void', { timeoutMs: 30_000 })]);
      await host.active('sync', 1);
      await host.startWorker('w2');
      first.child.kill('SIGKILL');
      const [reply] = await host.replies.received(1);
      expect(reply).toMatchObject({
        token: spinning?.replyToken,
        record: { invocationId: spinning?.invocationId, outcome: 'host-fault', workerId: 'w2' },
      });
      // Whether that is its end is its gateway's to say: the one that died could have answered it.
      expect(await host.record(spinning?.invocationId ?? '')).toBeUndefined();
    },
    RECOVERY_TIMEOUT_MS,
  );
});
