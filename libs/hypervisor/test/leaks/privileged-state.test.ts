import { describe, expect, test } from 'vitest';
import type { HypervisorDriver } from '../../src/index.js';
import { assemble, LeakVm, PLACE, startKvm, USER_STARTS, words } from './support.js';

const { driver, skipped } = await startKvm();

/** What would change control registers, XCR0, debug registers, descriptor tables or MSRs. CPL 3 may do none of it. */
const INSTRUCTIONS: readonly string[] = [
  'movq %rax, %cr0',
  'movq %rax, %cr2',
  'movq %rax, %cr3',
  'movq %rax, %cr4',
  'movq %rax, %cr8',
  'movq %rax, %dr0',
  'movq %rax, %dr7',
  'wrmsr',
  'rdmsr',
  'swapgs',
  'xsetbv',
  'clts',
  'lmsw %ax',
  'lgdt (%rsp)',
  'lidt (%rsp)',
  'lldt %ax',
  'ltr %ax',
  'invlpg (%rsp)',
  'wbinvd',
  'hlt',
];

const CODE = `
  movl ${PLACE.input}, %eax
  ${INSTRUCTIONS.map((_, i) => `cmpl $${i + 1}, %eax\nje case${i + 1}`).join('\n')}
  movl $1, ${PLACE.report}
  hlt
  ${INSTRUCTIONS.map((text, i) => `case${i + 1}: ${text}\nhlt`).join('\n')}
`;

describe.skipIf(!driver)(`state that only ring 0 changes${skipped}`, () => {
  test.each(USER_STARTS)('is out of reach of a guest, and stays so (%s start)', async (start) => {
    const vm = await LeakVm.create(driver as HypervisorDriver, assemble(CODE), start);
    const clean = await vm.show();
    for (const [index, name] of INSTRUCTIONS.entries()) {
      const { exit } = await vm.call(words(index + 1));
      if (name === 'hlt') expect(exit).toEqual({ kind: 'halt' });
      else
        expect(exit, name).toMatchObject({
          kind: 'exception',
          vector: expect.toSatisfy((v) => v === 13 || v === 6),
        });
      expect(await vm.show(), `after ${name}`).toEqual(clean);
    }
  });
});
