import type { VmPlan } from '@mayfly/hypervisor';
import { describe, expect, test } from 'vitest';
import { error, type Kit } from '../kit.js';
import { PLACE, planOf, word } from '../program.js';
import * as programs from '../programs.js';

const { code, data } = PLACE;

/** What is in guest memory, and which plans are refused. */
export function memorySuite(kit: Kit): void {
  const { create, enter } = kit;

  describe('memory', () => {
    test('holds what the plan loads, and zeroes', async () => {
      const vm = await create(programs.HALT);
      expect(vm.memoryBytes).toBe(PLACE.memoryBytes);
      expect(vm.read(code, programs.HALT.code.byteLength)).toEqual(Uint8Array.from(programs.HALT.code));
      expect(vm.read(data, 0x2000).every((byte) => byte === 0)).toBe(true);
      expect(vm.read(PLACE.memoryBytes, 0)).toHaveLength(0);
    });

    test('is read as a copy and written in place', async () => {
      const vm = await create(programs.HALT);
      vm.write(data, Uint8Array.of(1, 2, 3));
      const copy = vm.read(data, 3);
      copy.fill(9);
      expect([...vm.read(data, 4)]).toEqual([1, 2, 3, 0]);
    });

    const ranges = [
      [PLACE.memoryBytes - 3, 4],
      [PLACE.memoryBytes, 1],
      [-1, 1],
      [0.5, 1],
      [2 ** 53, 1],
      [Number.NaN, 1],
    ] as const;
    test.each(ranges)('refuses address %d, %i bytes', async (address, lengthBytes) => {
      const vm = await create(programs.HALT);
      const bytes = new Uint8Array(lengthBytes);
      expect(() => vm.read(address, lengthBytes)).toThrow(error('MAYFLY_ERR_VM_RANGE'));
      expect(() => vm.write(address, bytes)).toThrow(error('MAYFLY_ERR_VM_RANGE'));
      await expect(enter(vm, {}, { writes: [{ address, bytes }] })).rejects.toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^MAYFLY_ERR_VM_(RANGE|REQUEST)$/) }),
      );
      expect((await enter(vm)).exit).toEqual({ kind: 'halt' });
    });

    test.each([-1, 0.5, Number.NaN, 2 ** 40])('refuses to read %d bytes', async (lengthBytes) => {
      const vm = await create(programs.HALT);
      expect(() => vm.read(0, lengthBytes)).toThrow(error('MAYFLY_ERR_VM_RANGE'));
    });
  });
  describe('a plan', () => {
    const whole = planOf(programs.HALT);
    const region = (address: number, lengthBytes: number, rights = 3) => ({
      regions: [{ address, lengthBytes, rights }],
      load: [],
    });
    const bad: [string, Partial<VmPlan>][] = [
      ['memory of 0 bytes', { memoryBytes: 0, regions: [], load: [] }],
      ['memory of half a page', { memoryBytes: 0x10800 }],
      ['memory above 1 GiB', { memoryBytes: 2 ** 30 + 4096 }],
      ['memory of NaN bytes', { memoryBytes: Number.NaN }],
      ['a region off the page', region(0x1800, 0x1000)],
      ['a region of no bytes', region(0x1000, 0)],
      ['a region of half a page', region(0x1000, 0x800)],
      ['a region past memory', region(0xf000, 0x2000)],
      ['a region beyond memory', region(0x20000, 0x1000)],
      ['a region with unknown rights', region(0x1000, 0x1000, 16)],
      [
        'overlapping regions',
        { regions: [...region(0x1000, 0x2000).regions, ...region(0x2000, 0x1000).regions] },
      ],
      [
        'regions out of order',
        { regions: [...region(0x2000, 0x1000).regions, ...region(0x1000, 0x1000).regions] },
      ],
      ['bytes past memory', { load: [{ address: 0xfffd, bytes: word(1n) }] }],
      ['bytes at -8', { load: [{ address: -8, bytes: word(1n) }] }],
      ['an output buffer past memory', { outputBuffer: { address: 0xf000, lengthBytes: 0x2000 } }],
    ];
    test.each(bad)('with %s is refused', async (_label, change) => {
      kit.load(programs.HALT);
      await expect(kit.driver.createVm({ ...whole, ...change })).rejects.toThrow(error('MAYFLY_ERR_VM_PLAN'));
    });
  });
}
