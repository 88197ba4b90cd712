import type { FakeMachine } from '@mayfly/hypervisor/testing';
import { type Instruction, PLACE, program, word } from './program.js';

const { data } = PLACE;

// Instructions, each with the bytes that GNU as makes of it.
const hlt: Instruction = ['hlt', 'f4', () => ({ kind: 'halt' })];
const outl: Instruction = ['outl %eax, %dx', 'ef', (m) => out(m, 4)];
const spin: Instruction = [
  'jmp .',
  'ebfe',
  (m) => {
    m.regs.rip -= 2n;
    return { kind: 'spin' };
  },
];
const port = (number: number): Instruction => [
  `movl $${number}, %edx`,
  `ba${number.toString(16).padStart(2, '0')}000000`,
  (m) => {
    m.regs.rdx = BigInt(number);
  },
];
const loadWord: Instruction = [
  'movq 0x2000, %rax',
  '488b042500200000',
  (m) => {
    m.regs.rax = m.readWord(data);
  },
];
const count: Instruction = [
  'incq 0x2000',
  '48ff042500200000',
  (m) => m.writeWord(data, m.readWord(data) + 1n),
];

function out({ regs }: FakeMachine, sizeBytes: number) {
  const value = Number(BigInt.asUintN(8 * sizeBytes, regs.rax));
  return { kind: 'io-out', port: Number(regs.rdx), sizeBytes, value } as const;
}

/** Ends at once. */
export const HALT = program('halt', [hlt]);

/** One OUT of each size to the port in DX, then an IN of each size, then halt. */
export const PORTS = program('ports', [
  ['outb %al, %dx', 'ee', (m) => out(m, 1)],
  ['outw %ax, %dx', '66ef', (m) => out(m, 2)],
  outl,
  hlt,
]);

export const INPUT_BYTE = program('input-byte', [
  ['inb %dx, %al', 'ec', (m) => ({ kind: 'io-in', port: Number(m.regs.rdx), sizeBytes: 1 })],
  hlt,
]);

export const INPUT_DWORD = program('input-dword', [
  ['inl %dx, %eax', 'ed', (m) => ({ kind: 'io-in', port: Number(m.regs.rdx), sizeBytes: 4 })],
  hlt,
]);

/** Copies the first word of data to the second, then halts. */
export const COPY_WORD = program('copy-word', [
  loadWord,
  ['movq %rax, 0x2008', '4889042508200000', (m) => m.writeWord(data + 8, m.regs.rax)],
  hlt,
]);

/** Counts at the bottom of the stack, before it copies the first word of data to the second. */
export const COUNT_THEN_COPY = program('count-then-copy', [
  ['incq 0x6000', '48ff042500600000', (m) => m.writeWord(PLACE.stack, m.readWord(PLACE.stack) + 1n)],
  loadWord,
  ['movq %rax, 0x2008', '4889042508200000', (m) => m.writeWord(data + 8, m.regs.rax)],
  hlt,
]);

/** Counts in the first word of data. */
export const COUNT = program('count', [count, hlt]);

/** Counts, asks the host at port 200, counts again, halts. */
export const COUNT_ASK_COUNT = program('count-ask-count', [count, port(200), outl, count, hlt]);

/** Asks the host at port 200, then says at port 201 what the host left in the first word of data. */
export const ASK_AND_TELL = program('ask-and-tell', [port(200), outl, loadWord, port(201), outl, hlt]);

/** Asks the host at port 200 for ever. */
export const ASK_FOR_EVER = program('ask-for-ever', [
  port(200),
  outl,
  [
    'jmp . - 1',
    'ebfd',
    (m) => {
      m.regs.rip -= 3n;
    },
  ],
]);

/** Never leaves the guest. */
export const SPIN = program('spin', [spin]);

/** Counts, then never leaves the guest. */
export const COUNT_AND_SPIN = program('count-and-spin', [count, spin]);

/** Writes RAX to the address in RDI. */
export const STORE = program('store', [
  ['movq %rax, (%rdi)', '488907', (m) => m.writeWord(Number(m.regs.rdi), m.regs.rax)],
  hlt,
]);

/** Writes RAX to RCX pages from RDI on. */
export const STORE_PAGES = program('store-pages', [
  ['movq %rax, (%rdi)', '488907', (m) => m.writeWord(Number(m.regs.rdi), m.regs.rax)],
  [
    'addq %rsi, %rdi',
    '4801f7',
    (m) => {
      m.regs.rdi += m.regs.rsi;
    },
  ],
  [
    'decq %rcx',
    '48ffc9',
    (m) => {
      m.regs.rcx -= 1n;
    },
  ],
  [
    'jnz . - 9',
    '75f5',
    (m) => {
      if (m.regs.rcx !== 0n) m.regs.rip -= 11n;
    },
  ],
  hlt,
]);

/** Reads RAX from the address in RDI. */
export const LOAD = program('load', [
  [
    'movq (%rdi), %rax',
    '488b07',
    (m) => {
      m.regs.rax = m.readWord(Number(m.regs.rdi));
    },
  ],
  hlt,
]);

/** Jumps to the address in RDI. */
export const JUMP = program('jump', [
  [
    'jmp *%rdi',
    'ffe7',
    (m) => {
      m.regs.rip = m.regs.rdi;
    },
  ],
]);

export const UNDEFINED = program('undefined-instruction', [['ud2', '0f0b', (m) => m.raise(6)]]);
export const DIVIDE_BY_ZERO = program('divide-by-zero', [['divl %ecx', 'f7f1', (m) => m.raise(0)]]);
export const SOFTWARE_INTERRUPT = program('software-interrupt', [
  ['int $0x80', 'cd80', (m) => m.raise(13, 0x402n)],
]);
export const LOAD_GDT = program('load-gdt', [['lgdt 0x2000', '0f01142500200000', (m) => m.raise(13)]]);

/** Leaves RAX in XMM0, or RAX with what is in XMM0. */
export const SET_XMM = program('set-xmm', [
  [
    'movq %rax, %xmm0',
    '66480f6ec0',
    (m) => {
      const [, ...others] = m.fpu.xmm;
      m.fpu = { ...m.fpu, xmm: [Uint8Array.of(...word(m.regs.rax), ...word(0n)), ...others] };
    },
  ],
  hlt,
  [
    'movq %xmm0, %rax',
    '66480f7ec0',
    (m) => {
      m.regs.rax = Buffer.from(m.fpu.xmm[0] ?? []).readBigUInt64LE();
    },
  ],
  hlt,
]);
export const GET_XMM_OFFSET = 6;

/** OUTs of RAX to the port in DX for ever. */
export const FLOOD = program('flood', [
  outl,
  [
    'jmp . - 1',
    'ebfd',
    (m) => {
      m.regs.rip -= 3n;
    },
  ],
]);

/** Sends EAX, then EBX, then ECX to the port in DX, and halts. */
export const SEND_THREE = program('send-three', [
  outl,
  [
    'movl %ebx, %eax',
    '89d8',
    (m) => {
      m.regs.rax = BigInt.asUintN(32, m.regs.rbx);
    },
  ],
  outl,
  [
    'movl %ecx, %eax',
    '89c8',
    (m) => {
      m.regs.rax = BigInt.asUintN(32, m.regs.rcx);
    },
  ],
  outl,
  hlt,
]);

// Instructions of ring 0. At CPL 3 they are #GP, but for a guest that was built for ring 0.
const privileged =
  (play: (machine: FakeMachine) => ReturnType<Instruction[2]>): Instruction[2] =>
  (m) =>
    m.plan.ring0 ? play(m) : m.raise(13);
const setRax = (read: (machine: FakeMachine) => bigint) =>
  privileged((m) => {
    m.regs.rax = read(m);
  });
const readCr3: Instruction = [
  'movq %cr3, %rax',
  '0f20d8',
  privileged((m) => {
    m.regs.rax = m.special.cr3;
    m.seesTables = true;
  }),
];

export const READ_CR2 = program('read-cr2', [
  ['movq %cr2, %rax', '0f20d0', setRax((m) => m.special.cr2)],
  hlt,
]);
export const READ_CR4 = program('read-cr4', [
  ['movq %cr4, %rax', '0f20e0', setRax((m) => m.special.cr4)],
  hlt,
]);

/** Asks where the page tables are, then reads RBX from the address in RDI. */
export const READ_CR3_AND_LOAD = program('read-cr3-and-load', [
  readCr3,
  [
    'movq (%rdi), %rbx',
    '488b1f',
    (m) => {
      m.regs.rbx = m.readWord(Number(m.regs.rdi));
    },
  ],
  hlt,
]);

export const READ_MSR = program('read-msr', [
  [
    'rdmsr',
    '0f32',
    privileged((m) => {
      m.regs.rip -= 2n;
      return {
        kind: 'unsupported-instruction',
        name: 'rdmsr',
        bytes: m.hostRead(Number(m.regs.rip), 15),
        rip: m.regs.rip,
      };
    }),
  ],
]);

/** Where `RING0_EXCEPTION` finds the operands of `lgdt` and `lidt`, and what they may name. */
export const RING0_PLACE = {
  GDT_OPERAND: data,
  IDT_OPERAND: data + 0x10,
  GDT: data + 0x100,
  IDT: data + 0x200,
} as const;

const loadTable = (name: 'gdt' | 'idt', address: number) =>
  privileged((m) => {
    const operand = Buffer.from(m.read(address, 10));
    m.special = {
      ...m.special,
      [name]: { limit: operand.readUInt16LE(0), base: operand.readBigUInt64LE(2) },
    };
  });

/**
 * What a CPU does with an exception, as far as these programs go: a gate of the guest's IDT, a code segment of its GDT,
 * the frame, the handler.
 */
const undefinedInstruction: Instruction[2] = (m) => {
  const { gdt, idt, cs } = m.special;
  if (!m.plan.ring0 || idt.limit === 0) return m.raise(6);
  const at = Number(idt.base) + 6 * 16;
  const [low, high] = [m.readWord(at), m.readWord(at + 8)];
  const selector = Number((low >> 16n) & 0xffffn);
  const isCode =
    selector >= 8 &&
    selector + 7 <= gdt.limit &&
    ((m.readWord(Number(gdt.base) + selector) >> 43n) & 1n) === 1n;
  const isGate = ((low >> 47n) & 1n) === 1n && [14n, 15n].includes((low >> 40n) & 31n);
  if (!isGate || !isCode || high !== 0n) return { kind: 'shutdown' };
  const frame = [
    m.regs.rip - 2n,
    BigInt(cs.selector),
    m.regs.rflags,
    m.regs.rsp,
    BigInt(m.special.ss.selector),
  ];
  const stack = (m.regs.rsp & ~15n) - 40n;
  for (const [index, value] of frame.entries()) m.writeWord(Number(stack) + 8 * index, value);
  m.regs.rsp = stack;
  m.regs.rip = (low & 0xffffn) | ((low >> 32n) & 0xffff_0000n);
  m.special = { ...m.special, cs: { ...cs, selector } };
  return undefined;
};

/** Loads its tables, executes what is undefined, and halts; the handler notes RIP and CS and steps behind it. */
export const RING0_EXCEPTION = program('ring0-exception', [
  ['lgdt 0x2000', '0f01142500200000', loadTable('gdt', RING0_PLACE.GDT_OPERAND)],
  ['lidt 0x2010', '0f011c2510200000', loadTable('idt', RING0_PLACE.IDT_OPERAND)],
  ['ud2', '0f0b', undefinedInstruction],
  [
    'movl $7, %r8d',
    '41b807000000',
    (m) => {
      m.regs.r8 = 7n;
    },
  ],
  hlt,
  [
    'movq (%rsp), %rbx',
    '488b1c24',
    (m) => {
      m.regs.rbx = m.readWord(Number(m.regs.rsp));
    },
  ],
  [
    'movq 8(%rsp), %rcx',
    '488b4c2408',
    (m) => {
      m.regs.rcx = m.readWord(Number(m.regs.rsp) + 8);
    },
  ],
  ['movq $8, 8(%rsp)', '48c744240808000000', (m) => m.writeWord(Number(m.regs.rsp) + 8, 8n)],
  [
    'addq $2, (%rsp)',
    '4883042402',
    (m) => m.writeWord(Number(m.regs.rsp), m.readWord(Number(m.regs.rsp)) + 2n),
  ],
  [
    'iretq',
    '48cf',
    privileged((m) => {
      const { rsp } = m.regs;
      m.regs.rip = m.readWord(Number(rsp));
      m.regs.rflags = m.readWord(Number(rsp) + 16);
      m.regs.rsp = m.readWord(Number(rsp) + 24);
    }),
  ],
]);
export const RING0_UNDEFINED_OFFSET = 16;
export const RING0_HANDLER_OFFSET = 25;

export const ALL_PROGRAMS = [
  READ_CR2,
  READ_CR4,
  READ_CR3_AND_LOAD,
  READ_MSR,
  RING0_EXCEPTION,
  HALT,
  PORTS,
  INPUT_BYTE,
  INPUT_DWORD,
  COPY_WORD,
  COUNT_THEN_COPY,
  COUNT,
  COUNT_ASK_COUNT,
  ASK_AND_TELL,
  ASK_FOR_EVER,
  SPIN,
  COUNT_AND_SPIN,
  STORE,
  STORE_PAGES,
  LOAD,
  JUMP,
  UNDEFINED,
  DIVIDE_BY_ZERO,
  SOFTWARE_INTERRUPT,
  LOAD_GDT,
  SET_XMM,
  FLOOD,
  SEND_THREE,
];
