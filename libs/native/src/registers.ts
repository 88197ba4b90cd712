/** General registers in the order in which the blocks lay them out. */
export const REGISTER_NAMES = [
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
] as const;

export type RegisterName = (typeof REGISTER_NAMES)[number];
export type RegisterValues = Record<RegisterName, bigint>;
