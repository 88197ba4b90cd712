import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { kvmKind } from '../../apps/worker/src/cells/kvm-kind.js';
import { kvmWorks } from '../helpers/mayfly.js';
import { callOf, WorkerHost } from './worker-host.js';

describe.skipIf(!kvmWorks)(
  'a job that requires a kind of KVM (skipped where /dev/kvm cannot be opened)',
  () => {
    const otherKind = kvmKind() === 'hardware' ? 'software' : 'hardware';
    const hello = callOf('Hello', [{ type: 'string', value: 'you' }], 'string');
    let host: WorkerHost;
    beforeEach(async () => {
      host = await WorkerHost.start();
    });
    afterEach(() => host?.stop());

    test('is refused by name by a worker on another kind, which goes on serving others', async () => {
      const ref = await host.publish('hello');
      await host.startWorker('w1');
      const refused = await host.call({ ...ref, requiresKvm: otherKind }, hello);
      expect(refused).toMatchObject({
        outcome: 'host-fault',
        detail: { message: expect.stringContaining('MAYFLY_ERR_KVM_KIND') },
        usage: { exits: 0 },
      });
      const served = callOf('Hello', [{ type: 'string', value: 'you' }], 'string');
      expect(await host.call({ ...ref, requiresKvm: kvmKind() }, served)).toMatchObject({
        outcome: 'succeeded',
      });
    });

    test('async, is given its host fault after its last attempt', async () => {
      const ref = await host.publish('hello', { requiresKvm: otherKind });
      await host.startWorker('w1');
      await host.add('async', ref, [hello], { attempts: 1 });
      expect(await host.recorded(hello.invocationId)).toMatchObject({ outcome: 'host-fault', attempt: 5 });
    });
  },
);
