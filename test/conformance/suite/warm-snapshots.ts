import type { AddressRange, DriverSnapshot, DriverVm } from '@mayfly/hypervisor';
import { describe, expect, onTestFinished, test } from 'vitest';
import { error, type Kit, LONG_US } from '../kit.js';
import { PLACE, word } from '../program.js';
import * as programs from '../programs.js';

const { code, data } = PLACE;

/** The state at the first touch of an untouched range. */
export function warmSnapshotsSuite(kit: Kit): void {
  const { create, enter } = kit;

  describe('a warm snapshot', () => {
    const untouched = [{ address: data, lengthBytes: 8 }];
    const entry = { rip: BigInt(code), rsp: BigInt(PLACE.stackTop - 0x28) };
    const prime = (vm: DriverVm, ranges: readonly AddressRange[] = untouched, deadlineUs = LONG_US) =>
      (vm.primeSnapshot as NonNullable<DriverVm['primeSnapshot']>)({
        entry,
        untouched: ranges,
        deadlineUs,
      });
    const wordAt = (vm: DriverVm, address: number) => Buffer.from(vm.read(address, 8)).readBigUInt64LE();
    const copy = async (vm: DriverVm, value: bigint) => {
      const answer = await vm.run({
        restore: true,
        writes: [{ address: data, bytes: word(value) }],
        startsCall: true,
        deadlineUs: LONG_US,
      });
      vm.endCall();
      expect(answer.exit).toEqual({ kind: 'halt' });
      return [wordAt(vm, data + 8), wordAt(vm, PLACE.stack)];
    };

    test('stands before the first touch, and calls go on from there with their own input', async () => {
      const vm = await create(programs.COUNT_THEN_COPY);
      await vm.snapshot();
      expect(await prime(vm)).toBeDefined();
      expect(wordAt(vm, PLACE.stack)).toBe(1n);
      for (const value of [7n, 8n, 2n ** 64n - 1n]) expect(await copy(vm, value)).toEqual([value, 1n]);
    });

    test('makes other VMs, and a VM goes back and forth between it and the plain one', async () => {
      const vm = await create(programs.COUNT_THEN_COPY);
      const plain = await vm.snapshot();
      const warm = (await prime(vm)) as DriverSnapshot;
      const clone = await kit.driver.createVmFromSnapshot(warm);
      onTestFinished(async () => {
        await clone.close();
      });
      for (let round = 0; round < 2; round++) {
        expect(await copy(clone, 3n)).toEqual([3n, 1n]);
        await clone.restore(plain);
        expect(wordAt(clone, PLACE.stack)).toBe(0n);
        expect((await enter(clone, {}, { restore: true })).exit).toEqual({ kind: 'halt' });
        expect(wordAt(clone, PLACE.stack)).toBe(1n);
        await clone.restore(warm);
      }
      expect(await copy(vm, 4n)).toEqual([4n, 1n]);
    });

    test('is not taken of a guest that does anything else first, and the plain base stands', async () => {
      for (const program of [
        programs.HALT,
        programs.ASK_FOR_EVER,
        programs.UNDEFINED,
        programs.DIVIDE_BY_ZERO,
      ]) {
        const vm = await create(program);
        await vm.snapshot();
        expect(await prime(vm), program.name).toBeUndefined();
        const { exit } = await enter(vm, {}, { restore: true });
        expect(['halt', 'io-out', 'exception']).toContain(exit.kind);
      }
      const vm = await create(programs.SPIN);
      await vm.snapshot();
      expect(await prime(vm, untouched, 5_000)).toBeUndefined();
    });

    test('needs a base, and 1 to 16 ranges of guest memory', async () => {
      const vm = await create(programs.COUNT_THEN_COPY);
      await expect(prime(vm)).rejects.toThrow(error('MAYFLY_ERR_VM_REQUEST'));
      await vm.snapshot();
      await expect(prime(vm, [])).rejects.toThrow(error('MAYFLY_ERR_VM_REQUEST'));
      await expect(prime(vm, Array(17).fill(untouched[0]))).rejects.toThrow(error('MAYFLY_ERR_VM_REQUEST'));
      for (const range of [
        { address: PLACE.memoryBytes, lengthBytes: 8 },
        { address: data, lengthBytes: PLACE.memoryBytes },
        { address: data, lengthBytes: 0 },
      ])
        await expect(prime(vm, [range])).rejects.toThrow(error('MAYFLY_ERR_VM_RANGE'));
      expect(await prime(vm)).toBeDefined();
    });
  });
}
