import { describe, expect, test } from 'vitest';
import type { HypervisorDriver } from '../../src/index.js';
import { assemble, ENDINGS, LeakVm, PLACE, planOf, STARTS, startKvm, words } from './support.js';

const { driver, skipped } = await startKvm();

/** Asked to soil, stores to every page of every region that it may write, its own code included. */
const CODE = `
  cmpl $1, ${PLACE.input}
  je soil
  hlt
  soil:
  ${planOf(new Uint8Array(0))
    .regions.flatMap(({ address, lengthBytes }) =>
      [...Array(lengthBytes / 0x1000).keys()].map((page) => address + page * 0x1000),
    )
    // Not where the input is read: the guest still has to find its ending there.
    .map((page) => `movq $-1, ${page + 0x800}\nmovq $-1, ${page + 0xff8}`)
    .join('\n')}
  cmpl $1, ${PLACE.input + 4}
  je fault
  ja spin
  hlt
  fault: ud2
  spin: jmp spin
`;

describe.skipIf(!driver)(`memory that a call leaves${skipped}`, () => {
  test.each(STARTS)('is as in the base after a restore, in every region (%s start)', async (start) => {
    const vm = await LeakVm.create(driver as HypervisorDriver, assemble(CODE), start);
    const whole = () => vm.vm.read(0, PLACE.memoryBytes);
    // The first halt of a VM may change its site once.
    await vm.call(words(0, 0));
    await vm.call(words(0, 0));
    const clean = whole();
    for (const ending of Object.keys(ENDINGS) as (keyof typeof ENDINGS)[]) {
      await vm.soil(ending);
      const soiled = whole();
      for (const { address, lengthBytes } of planOf(new Uint8Array(0)).regions)
        for (let page = address; page < address + lengthBytes; page += 0x1000)
          expect(soiled.subarray(page, page + 0x1000), `page ${page}`).not.toEqual(
            clean.subarray(page, page + 0x1000),
          );
      expect(await vm.vm.compareWithBase?.(), `after ${ending}`).toBe(0);
      await vm.call(words(0, 0));
      expect(Buffer.compare(whole(), clean), `after ${ending}`).toBe(0);
    }
  });

  test.each(STARTS)('that the host stored is gone, too (%s start)', async (start) => {
    const vm = await LeakVm.create(driver as HypervisorDriver, assemble(CODE), start);
    await vm.call(words(0, 0));
    await vm.call(words(0, 0));
    const clean = vm.vm.read(0, PLACE.memoryBytes);
    vm.vm.write(PLACE.stack, words(1, 2, 3));
    await vm.call(Buffer.concat([words(0, 0), Buffer.alloc(0x1000 - 8, 0x5a)]));
    vm.vm.write(PLACE.report, words(9));
    expect(await vm.vm.compareWithBase?.()).toBe(0);
    await vm.call(words(0, 0));
    expect(Buffer.compare(vm.vm.read(0, PLACE.memoryBytes), clean)).toBe(0);
  });
});
