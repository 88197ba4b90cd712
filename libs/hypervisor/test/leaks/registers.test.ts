import { describe, test } from 'vitest';
import type { HypervisorDriver } from '../../src/index.js';
import { endOf, expectNoLeak, type Leak, PLACE, STARTS, startKvm } from './support.js';

const GENERAL = 'rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const lines = (parts: readonly string[]) => parts.join('\n');

const { driver, skipped } = await startKvm();
const bases = driver !== undefined && (await endOf(driver, 'rdfsbase %rax')).kind === 'halt';

const LEAKS: Record<string, Leak> = {
  'general registers': {
    capture: (base) => lines(GENERAL.map((name, i) => `movq %${name}, ${base + 8 * i}`)),
    soil: lines(
      GENERAL.map(
        (name, i) => `movabs $${name === 'rsp' ? PLACE.stack + 0x100 : `0xdead0000${i}`}, %${name}`,
      ),
    ),
  },
  flags: {
    touch: `movl ${PLACE.input}, %eax`,
    capture: (base) => `pushfq\npopq ${base}`,
    // Every flag that CPL 3 can set but TF: carry to overflow, direction, nested task, alignment check, ID.
    soil: 'pushq $0x244ed5\npopfq',
  },
  'segment selectors': {
    capture: (base) =>
      lines(['ds', 'es', 'fs', 'gs', 'ss', 'cs'].map((name, i) => `movw %${name}, ${base + 8 * i}`)),
    soil: lines(['ds', 'es', 'fs', 'gs'].map((name, i) => `movl $${i}, %eax\nmovl %eax, %${name}`)),
  },
  'segment bases': {
    capture: (base) => `rdfsbase %rax\nmovq %rax, ${base}\nrdgsbase %rax\nmovq %rax, ${base + 8}`,
    soil: 'movl $0x5a5a, %eax\nwrfsbase %rax\nwrgsbase %rax',
  },
};

describe.skipIf(!driver)(`registers that a call leaves${skipped}`, () => {
  for (const [name, leak] of Object.entries(LEAKS))
    test.skipIf(name === 'segment bases' && !bases).each(STARTS)(
      `${name} do not reach the next call (%s start)`,
      (start) => expectNoLeak(driver as HypervisorDriver, leak, start),
    );
});
