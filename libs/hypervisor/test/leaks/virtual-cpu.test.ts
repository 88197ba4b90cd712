import { describe, expect, test } from 'vitest';
import type { HypervisorDriver } from '../../src/index.js';
import {
  assemble,
  ENDINGS,
  type Ending,
  expectNoLeak,
  type Leak,
  LeakVm,
  PLACE,
  RING0_STARTS,
  startKvm,
  TABLES,
  words,
} from './support.js';

const { driver, skipped } = await startKvm();

/** Places on the page of the stack that no push reaches. */
const OPERAND = PLACE.stack + 0x100;
const GDT = PLACE.stack + 0x200;
const IDT = PLACE.stack + 0x300;
const BREAKPOINT_GATE = IDT + 3 * 16;

/** Puts a table operand in memory. */
const operand = (limit: number, base: number) => `
  movw $${limit}, ${OPERAND}
  movq $${base}, ${OPERAND + 2}`;

/** A GDT as guest-abi 9.2 has it, loaded. */
const LOAD_GDT = `
  movabs $0x00a09a0000000000, %rax
  movq %rax, ${GDT + 8}
  movabs $0x00c0920000000000, %rax
  movq %rax, ${GDT + 16}
  ${operand(23, GDT)}
  lgdt ${OPERAND}`;

/** What ring 0 would see of a selector: only instructions that trap tell. A frame of an exception holds CS and SS. */
const LEAKS: Record<string, Leak> = {
  'table registers': {
    capture: (base) => `sgdt ${base}\nsidt ${base + 16}`,
    // An IDT without entries: exceptions still end the guest, as the ending of a call wants it.
    soil: `${operand(23, GDT)}\nlgdt ${OPERAND}\n${operand(0, 0x1234)}\nlidt ${OPERAND}`,
  },
  'control registers': {
    capture: (base) =>
      ['cr0', 'cr2', 'cr3', 'cr4', 'cr8']
        .map((name, i) => `movq %${name}, %rax\nmovq %rax, ${base + 8 * i}`)
        .join('\n'),
    soil: 'movl $0x6a0, %eax\nmovq %rax, %cr4\nmovl $0x5678, %eax\nmovq %rax, %cr2',
  },
  'task register': {
    capture: (base) => `strw ${base}\nsldt ${base + 8}`,
    soil: 'movl $0x28, %eax\nltr %ax',
  },
  'selectors and interrupt flag': {
    // Only the frame of an exception shows them; a breakpoint is the shortest.
    capture: (base) => `
      ${LOAD_GDT}
      leaq 77f(%rip), %rax
      movw %ax, ${BREAKPOINT_GATE}
      movw $8, ${BREAKPOINT_GATE + 2}
      movw $0x8e00, ${BREAKPOINT_GATE + 4}
      shrl $16, %eax
      movw %ax, ${BREAKPOINT_GATE + 6}
      ${operand(0xff, IDT)}
      lidt ${OPERAND}
      int3
      77: movq 8(%rsp), %rax
      movq %rax, ${base}
      movq 16(%rsp), %rax
      andl $0x200, %eax
      movq %rax, ${base + 8}
      movq 32(%rsp), %rax
      movq %rax, ${base + 16}
      movq 24(%rsp), %rsp
      ${operand(0, 0)}
      lidt ${OPERAND}`,
    soil: `
      ${LOAD_GDT}
      movl $0x10, %eax
      movl %eax, %ss
      sti
      pushq $8
      leaq 88f(%rip), %rax
      pushq %rax
      lretq
      88:`,
  },
};

describe.skipIf(!driver)(`what a guest built for ring 0 believes of its CPU${skipped}`, () => {
  for (const [name, leak] of Object.entries(LEAKS))
    test.each(RING0_STARTS)(`${name} do not reach the next call (%s start)`, (start) =>
      expectNoLeak(driver as HypervisorDriver, leak, start),
    );

  const ALIAS = 0x4000_0000;
  /** Maps the first 2 MiB of memory once more, or uses that, or looks at its page tables; then ends as asked. */
  const MAPS = `
    movl ${PLACE.input}, %eax
    cmpl $1, %eax
    je map
    cmpl $2, %eax
    je use
    cmpl $3, %eax
    je look
    hlt
    map: movq %cr3, %rcx
    movq $${TABLES.spare | 3}, ${TABLES.pointers + 8}(%rcx)
    movq $0x83, ${TABLES.spare}(%rcx)
    use: movq $0x5a5a, ${ALIAS + PLACE.soiled}
    jmp end
    look: movq ${TABLES.pointers}, %rcx
    end: cmpl $1, ${PLACE.input + 4}
    je fault
    ja spin
    hlt
    fault: ud2
    spin: jmp spin`;
  const faultAt = (address: number) => ({ kind: 'exception', vector: 14, address: BigInt(address) });

  test.each(RING0_STARTS)(
    'page tables, what they mapped, and the sight of them do not reach the next call (%s start)',
    async (start) => {
      const vm = await LeakVm.create(driver as HypervisorDriver, assemble(MAPS), start);
      const tables = vm.vm.read(0, TABLES.lengthBytes);
      for (const ending of Object.keys(ENDINGS) as Ending[]) {
        const soiled = await vm.soil(ending);
        expect(soiled.readUInt32LE(), `mapped, ${ending}`).toBe(0x5a5a);
        expect(vm.vm.read(0, TABLES.lengthBytes)).not.toEqual(tables);
        expect((await vm.call(words(2))).exit, `after ${ending}`).toMatchObject(
          faultAt(ALIAS + PLACE.soiled),
        );
        expect(vm.vm.read(0, TABLES.lengthBytes)).toEqual(tables);
        expect(vm.vm.read(PLACE.soiled, 8)).toEqual(new Uint8Array(8));
        await vm.soil(ending);
        expect((await vm.call(words(3))).exit, `after ${ending}`).toMatchObject(faultAt(TABLES.pointers));
      }
    },
  );
});
