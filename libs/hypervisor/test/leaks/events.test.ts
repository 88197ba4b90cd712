import { describe, expect, test } from 'vitest';
import type { DriverExit, HypervisorDriver } from '../../src/index.js';
import { assemble, LeakVm, PLACE, STARTS, startKvm, words } from './support.js';

const { driver, skipped } = await startKvm();

/** Input 0 shows: counts in RAX and halts. Others leave something pending, by number. */
const PENDING: readonly [name: string, code: string, exit: Partial<DriverExit>][] = [
  ['a single step', 'pushfq\norl $0x100, (%rsp)\npopfq\nnop\nnop', { kind: 'exception', vector: 1 }],
  ['an IN whose value never came', 'inb $0x60, %al', { kind: 'io-in', port: 0x60 }],
  ['a wide IN', 'movl $0x60, %edx\ninl %dx, %eax', { kind: 'io-in', port: 0x60 }],
  ['an OUT that nobody answered', 'movl $200, %edx\noutl %eax, %dx', { kind: 'io-out', port: 200 }],
  ['a string OUT', `movl $200, %edx\nleaq ${PLACE.input}, %rsi\noutsb`, { kind: 'io-out', port: 200 }],
  [
    'a string OUT with more to come',
    `movl $200, %edx\nleaq ${PLACE.input}, %rsi\nmovl $4, %ecx\nrep outsb`,
    { kind: 'io-out', port: 200 },
  ],
  // Bytes around a string OUT that make it look like a plain one.
  [
    'a string OUT with more to come behind the byte of a plain one',
    `movl $200, %edx\nleaq ${PLACE.input}, %rsi\nmovl $4, %ecx\njmp 9f\n.byte 0xee\n9: rep outsb`,
    { kind: 'io-out', port: 200 },
  ],
  [
    'a string OUT that could be the port of a plain one',
    `movl $0x6e, %edx\nleaq ${PLACE.input}, %rsi\njmp 9f\n.byte 0xe6\n9: outsb`,
    { kind: 'io-out', port: 0x6e },
  ],
  [
    'a string OUT before a plain one',
    `movl $200, %edx\nleaq ${PLACE.input}, %rsi\noutsb\noutb %al, %dx`,
    { kind: 'io-out', port: 200 },
  ],
  [
    'a string OUT with more to come, behind many prefixes and the byte of a plain one',
    `movl $200, %edx\nleaq ${PLACE.input}, %rsi\nmovl $4, %ecx\njmp 9f\n.byte 0xef\n9: .byte 0x2e, 0x3e, 0x66, 0x67, 0xf3, 0x4f, 0x6f`,
    { kind: 'io-out', port: 200 },
  ],
  [
    'a string OUT with more to come that the guest wrote over the byte of a plain one',
    `movl $200, %edx\nleaq ${PLACE.input}, %rsi\nmovl $4, %ecx\nmovb $0xee, 8f(%rip)\nmovw $0x6ef3, 9f(%rip)\njmp 9f\n8: nop\n9: nop\nnop`,
    { kind: 'io-out', port: 200 },
  ],
  ['a string IN', `movl $0x60, %edx\nleaq ${PLACE.report}, %rdi\ninsb`, { kind: 'io-in', port: 0x60 }],
  [
    'a string IN with more to come',
    `movl $0x60, %edx\nleaq ${PLACE.report}, %rdi\nmovl $4, %ecx\nrep insb`,
    { kind: 'io-in', port: 0x60 },
  ],
  ['a breakpoint', 'int3', { kind: 'exception', vector: 3 }],
  ['an undefined instruction', 'ud2', { kind: 'exception', vector: 6 }],
  ['a page fault', 'movq 0, %rax', { kind: 'exception', vector: 14 }],
  ['a page fault on the stack', 'xorl %esp, %esp\npushq %rax', { kind: 'exception', vector: 14 }],
  [
    'an x87 exception',
    'pushq $0\nfldcw (%rsp)\nfld1\nfldz\nfdivrp\nfwait',
    { kind: 'exception', vector: 16 },
  ],
  ['an SSE exception', 'pushq $0\nldmxcsr (%rsp)\ndivss %xmm0, %xmm0', { kind: 'exception', vector: 19 }],
  ['a spin up to its deadline', 'jmp .', { kind: 'cancelled', by: 'deadline' }],
];

const CODE = `
  movl ${PLACE.input}, %eax
  ${PENDING.map((_, i) => `cmpl $${i + 1}, %eax\nje case${i + 1}`).join('\n')}
  movl $7, %ecx
  1: decl %ecx
  jnz 1b
  movl $1, ${PLACE.report}
  hlt
  ${PENDING.map(([, code], i) => `case${i + 1}: ${code}\nhlt`).join('\n')}
`;

describe.skipIf(!driver)(`what a call leaves pending${skipped}`, () => {
  test.each(STARTS)('does not come out in the next call (%s start)', async (start) => {
    const vm = await LeakVm.create(driver as HypervisorDriver, assemble(CODE), start);
    const clean = await vm.show();
    for (const [index, [name, , exit]] of PENDING.entries()) {
      const deadlineUs = exit.kind === 'cancelled' ? 3000 : 10_000_000;
      expect((await vm.call(words(index + 1), deadlineUs)).exit, name).toMatchObject(exit);
      expect(await vm.show(), `after ${name}`).toEqual(clean);
    }
  });

  test.each(STARTS)('a kill that comes late does not reach the next call (%s start)', async (start) => {
    const vm = await LeakVm.create(driver as HypervisorDriver, assemble(CODE), start);
    for (let round = 0; round < 50; round++) {
      const running = vm.call(words(0));
      vm.vm.interrupt.kill();
      expect(['halt', 'cancelled']).toContain((await running).exit.kind);
      await vm.show();
    }
  });
});
