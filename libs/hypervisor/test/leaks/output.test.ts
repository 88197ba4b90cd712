import { describe, expect, test } from 'vitest';
import type { HypervisorDriver } from '../../src/index.js';
import { assemble, LeakVm, PLACE, STARTS, startKvm, words } from './support.js';

const { driver, skipped } = await startKvm();

/**
 * Input 0: sends the whole abort "b". 1: one character to port 103, then spins. 2: half an abort, then halts.
 * 3: half an abort, then spins. 4: leaves the output buffer full of a pattern, its header included.
 */
const CODE = `
  movl ${PLACE.input}, %ebx
  cmpl $4, %ebx
  je fill
  cmpl $1, %ebx
  je print
  movl $102, %edx
  movl $0x00620301, %eax
  cmpl $0, %ebx
  jne half
  movl $0xff620303, %eax
  outl %eax, %dx
  half: movl $0x61616103, %eax
  outl %eax, %dx
  cmpl $3, %ebx
  je spin
  hlt
  print: movl $103, %edx
  movl $0x78, %eax
  outl %eax, %dx
  spin: jmp spin
  fill: movl $${PLACE.output}, %edi
  movl $0x200, %ecx
  movq $-1, %rax
  rep stosq
  hlt
`;

describe.skipIf(!driver)(`output that a call leaves${skipped}`, () => {
  const abort = async (vm: LeakVm) => {
    const answer = await vm.call(words(0));
    expect(answer.exit).toMatchObject({ kind: 'io-out', port: 102 });
    expect(answer.outboxDropped).toBe(0);
    return answer.outbox.map(({ port, bytes }) => [port, Buffer.from(bytes).toString('latin1')]);
  };

  test.each(STARTS)(
    'outbox and abort bytes of a call are its own, however the one before it ended (%s start)',
    async (start) => {
      const vm = await LeakVm.create(driver as HypervisorDriver, assemble(CODE), start);
      const clean = await abort(vm);
      expect(clean).toEqual([[102, '\x03b']]);
      for (const [input, kind] of [
        [1, 'cancelled'],
        [2, 'halt'],
        [3, 'cancelled'],
        [0, 'io-out'],
      ] as const) {
        expect((await vm.call(words(input), kind === 'cancelled' ? 3000 : 10_000_000)).exit.kind).toBe(kind);
        expect(await abort(vm), `after ${input}`).toEqual(clean);
      }
    },
  );

  test.each(STARTS)('the output buffer is as in the base (%s start)', async (start) => {
    const vm = await LeakVm.create(driver as HypervisorDriver, assemble(CODE), start);
    const output = () => Buffer.from(vm.vm.read(PLACE.output, 0x1000));
    await abort(vm);
    const clean = output();
    expect((await vm.call(words(4))).exit.kind).toBe('halt');
    expect(output().equals(clean)).toBe(false);
    await abort(vm);
    expect(output()).toEqual(clean);
  });
});
