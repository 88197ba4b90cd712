import type { DriverVm } from '@mayfly/hypervisor';
import { describe, expect, onTestFinished, test } from 'vitest';
import { error, type Kit } from '../kit.js';
import { PLACE, planOf, word } from '../program.js';
import * as programs from '../programs.js';

const { code, data } = PLACE;

/** What a restore returns to. */
export function snapshotsSuite(kit: Kit): void {
  const { create, enter, goOn, firstWord } = kit;

  describe('a snapshot', () => {
    test('is what restore returns to, page by page', async () => {
      const vm = await create(programs.STORE_PAGES);
      const haltAt = { rip: BigInt(code + programs.STORE_PAGES.code.byteLength - 1) };
      vm.write(data, word(77n));
      // A driver may change the code once at the first `hlt`.
      await enter(vm, haltAt);
      await vm.snapshot();
      const before = vm.read(0, PLACE.memoryBytes);
      const dirty = { rax: 1n, rdi: BigInt(data), rsi: 0x1000n, rcx: 2n };
      expect((await enter(vm, dirty)).exit).toEqual({ kind: 'halt' });
      vm.write(PLACE.stack, word(5n));
      expect(Buffer.compare(vm.read(0, PLACE.memoryBytes), before)).not.toBe(0);
      const answer = await enter(vm, { ...dirty, rcx: 1n }, { restore: true });
      expect(answer.dirtyPages).toBeGreaterThanOrEqual(3);
      expect(answer.dirtyPages).toBeLessThanOrEqual(8);
      await enter(vm, haltAt, { restore: true });
      expect(vm.read(0, PLACE.memoryBytes)).toEqual(before);
    });

    test('is needed for a restore', async () => {
      const vm = await create(programs.COUNT);
      await expect(enter(vm, {}, { restore: true })).rejects.toThrow(error('MAYFLY_ERR_VM_REQUEST'));
      expect((await enter(vm)).exit).toEqual({ kind: 'halt' });
    });

    test('is restored before the stores of the request', async () => {
      const vm = await create(programs.COUNT);
      await vm.snapshot();
      await enter(vm);
      await enter(vm, {}, { restore: true, writes: [{ address: data, bytes: word(10n) }] });
      expect(firstWord(vm)).toBe(11n);
      await enter(vm, {}, { restore: true });
      expect(firstWord(vm)).toBe(1n);
    });

    test('of a guest at an OUT goes on from there, again and again', async () => {
      const vm = await create(programs.COUNT_ASK_COUNT);
      await enter(vm);
      await vm.snapshot();
      for (let round = 0; round < 3; round++) {
        expect((await goOn(vm, round === 0 ? {} : { restore: true })).exit).toEqual({ kind: 'halt' });
        expect(firstWord(vm)).toBe(2n);
      }
    });

    test('moves the base: the latest one counts', async () => {
      const vm = await create(programs.COUNT);
      const first = await vm.snapshot();
      await enter(vm);
      await vm.snapshot();
      await enter(vm, {}, { restore: true });
      expect(firstWord(vm)).toBe(2n);
      await vm.restore(first);
      expect(firstWord(vm)).toBe(0n);
      await enter(vm, {}, { restore: true });
      await enter(vm, {}, { restore: true });
      expect(firstWord(vm)).toBe(1n);
    });

    test('makes other VMs, which share nothing and outlive it', async () => {
      const vm = await create(programs.COUNT);
      await enter(vm);
      const snapshot = await vm.snapshot();
      expect(snapshot.memoryBytes).toBe(PLACE.memoryBytes);
      const [one, other] = [
        await kit.driver.createVmFromSnapshot(snapshot),
        await kit.driver.createVmFromSnapshot(snapshot),
      ];
      onTestFinished(async () => {
        await one.close();
      });
      onTestFinished(async () => {
        await other.close();
      });
      snapshot.close();
      snapshot.close();
      await vm.close();
      await enter(one);
      await enter(one);
      expect([firstWord(one), firstWord(other)]).toEqual([3n, 1n]);
      await enter(one, {}, { restore: true });
      expect(firstWord(one)).toBe(2n);
    });

    test('of another plan is refused', async () => {
      const vm = await create(programs.HALT);
      const plan = planOf(programs.HALT);
      const stranger = await create(programs.HALT, { ...plan, regions: plan.regions.slice(0, 3) });
      const snapshot = await stranger.snapshot();
      await expect(vm.restore(snapshot)).rejects.toThrow(error('MAYFLY_ERR_VM_SNAPSHOT_MISMATCH'));
      await expect(vm.restore({ memoryBytes: 1, close() {} })).rejects.toThrow(
        error('MAYFLY_ERR_VM_SNAPSHOT_MISMATCH'),
      );
      expect((await enter(vm)).exit).toEqual({ kind: 'halt' });
    });
  });
  describe('a comparison with the base', () => {
    test('restores first and finds nothing, whatever was changed', async () => {
      const vm = await create(programs.COUNT);
      const compare = () => (vm.compareWithBase as NonNullable<DriverVm['compareWithBase']>)();
      await expect(compare()).rejects.toThrow(error('MAYFLY_ERR_VM_REQUEST'));
      await vm.snapshot();
      await enter(vm);
      vm.write(PLACE.stack, word(5n));
      expect(await compare()).toBe(0);
      expect([firstWord(vm), vm.read(PLACE.stack, 8)]).toEqual([0n, word(0n)]);
      expect((await enter(vm, {}, { restore: true })).exit).toEqual({ kind: 'halt' });
    });
  });
}
