import type { GeneralRegisters } from './driver.js';

/** In the order in which blocks of the core have them. */
export const GENERAL_REGISTERS = [
  'rax',
  'rbx',
  'rcx',
  'rdx',
  'rsi',
  'rdi',
  'rsp',
  'rbp',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
  'rip',
  'rflags',
] as const satisfies readonly (keyof GeneralRegisters)[];

/** Registers at an entry: those not named are 0, RFLAGS 2. */
export function entryRegisters(entry: Partial<GeneralRegisters> = {}): GeneralRegisters {
  const registers = {} as GeneralRegisters;
  for (const name of GENERAL_REGISTERS) registers[name] = entry[name] ?? (name === 'rflags' ? 2n : 0n);
  return registers;
}
