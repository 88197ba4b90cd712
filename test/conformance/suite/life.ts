import { describe, expect, test } from 'vitest';
import { error, type Kit } from '../kit.js';
import { planOf } from '../program.js';
import * as programs from '../programs.js';

/** How VMs and drivers end. */
export function lifeSuite(kit: Kit): void {
  const { create, enter } = kit;

  describe('close', () => {
    test('ends what runs as killed, is idempotent, and drops the VM', async () => {
      const vm = await create(programs.SPIN);
      const running = enter(vm, {}, { startsCall: true });
      const closing = vm.close();
      expect(vm.close()).toBe(closing);
      expect((await running).exit).toEqual({ kind: 'cancelled', by: 'kill' });
      await closing;
      expect(vm.interrupt.dropped).toBe(true);
      expect(vm.interrupt.kill()).toBe(vm.interrupt.callActive);
    });

    test('leaves nothing that can be done with a VM', async () => {
      const vm = await create(programs.HALT);
      const snapshot = await vm.snapshot();
      await vm.close();
      const closed = error('MAYFLY_ERR_VM_CLOSED');
      expect(() => vm.read(0, 1)).toThrow(closed);
      expect(() => vm.write(0, new Uint8Array(1))).toThrow(closed);
      await expect(enter(vm)).rejects.toThrow(closed);
      await expect(vm.snapshot()).rejects.toThrow(closed);
      await expect(vm.restore(snapshot)).rejects.toThrow(closed);
      vm.endCall();
    });

    test('of a driver closes its VMs and refuses new ones; idempotent', async () => {
      const own = await kit.start();
      own.load(programs.SPIN);
      const vm = await own.driver.createVm(planOf(programs.SPIN));
      const running = enter(vm, {}, { startsCall: true }).then(
        ({ exit }) => exit.kind,
        (reason: { code?: string }) => reason.code,
      );
      const closing = own.driver.close();
      expect(own.driver.close()).toBe(closing);
      await closing;
      expect(await running).toMatch(/^(cancelled|MAYFLY_ERR_(VM|DRIVER)_CLOSED)$/);
      await expect(own.driver.createVm(planOf(programs.SPIN))).rejects.toThrow(
        error('MAYFLY_ERR_DRIVER_CLOSED'),
      );
    });
  });
}
