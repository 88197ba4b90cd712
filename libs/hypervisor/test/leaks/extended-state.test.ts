import { describe, expect, test } from 'vitest';
import type { DriverExit, HypervisorDriver } from '../../src/index.js';
import { endOf, expectNoLeak, type Leak, STARTS, startKvm } from './support.js';

const { driver, skipped } = await startKvm();

/** What an instruction that this CPU or KVM does not have raises. */
const INVALID_OPCODE = 6;

const count = (number: number) => [...Array(number).keys()];
const lines = (parts: readonly string[]) => parts.join('\n');

interface ExtendedLeak extends Leak {
  /** An instruction that only CPUs with this state have. */
  readonly needs: string;
}

const LEAKS: Record<string, ExtendedLeak> = {
  'x87 registers, control, status and pointers': {
    needs: 'fninit',
    capture: (base) => `fxsave64 ${base}`,
    // Rounds towards zero, all exceptions masked; three registers; a division by zero in the status.
    soil: 'pushq $0x0c7f\nfldcw (%rsp)\nfld1\nfldpi\nfldz\nfdivr %st(1), %st',
  },
  'XMM registers and MXCSR': {
    needs: 'xorps %xmm0, %xmm0',
    capture: (base) => `fxsave64 ${base}`,
    soil: `pushq $0xffc0\nldmxcsr (%rsp)\n${lines(count(16).map((i) => `pcmpeqd %xmm${i}, %xmm${i}`))}`,
  },
  'YMM registers': {
    needs: 'vxorps %ymm0, %ymm0, %ymm0',
    capture: (base) => lines(count(16).map((i) => `vmovups %ymm${i}, ${base + 32 * i}`)),
    soil: `movl $0x5a5a5a5a, %eax\nmovd %eax, %xmm0\nvpbroadcastd %xmm0, %ymm0\n${lines(
      count(16).map((i) => `vmovaps %ymm0, %ymm${i}`),
    )}`,
  },
  'ZMM and mask registers': {
    needs: 'vpxorq %zmm0, %zmm0, %zmm0',
    capture: (base) =>
      lines([
        ...count(32).map((i) => `vmovups %zmm${i}, ${base + 64 * i}`),
        ...count(8).map((i) => `kmovw %k${i}, ${base + 2048 + 8 * i}`),
      ]),
    soil: lines([
      'movl $0x5a5a5a5a, %eax',
      ...count(32).map((i) => `vpbroadcastd %eax, %zmm${i}`),
      ...count(8).map((i) => `kmovw %eax, %k${i}`),
    ]),
  },
  'protection keys': {
    needs: 'xorl %ecx, %ecx\nrdpkru',
    capture: (base) => `xorl %ecx, %ecx\nrdpkru\nmovl %eax, ${base}`,
    soil: 'movl $0x30, %eax\nxorl %ecx, %ecx\nxorl %edx, %edx\nwrpkru',
  },
};

const ends = new Map<string, DriverExit>();
if (driver) for (const [name, { needs }] of Object.entries(LEAKS)) ends.set(name, await endOf(driver, needs));

describe.skipIf(!driver)(`extended state that a call leaves${skipped}`, () => {
  for (const [name, leak] of Object.entries(LEAKS)) {
    if (ends.get(name)?.kind === 'halt')
      test.each(STARTS)(`${name}: not in the next call (%s start)`, (start) =>
        expectNoLeak(driver as HypervisorDriver, leak, start),
      );
    // State that the guest cannot reach cannot leak.
    else
      test(`${name}: out of reach of guests on this host`, () => {
        expect(ends.get(name)).toMatchObject({ kind: 'exception', vector: INVALID_OPCODE });
      });
  }
});
