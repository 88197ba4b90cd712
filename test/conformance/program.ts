import { Rights, type VmPlan } from '@mayfly/hypervisor';
import type { FakeMachine, FakeProgram, FakeStep } from '@mayfly/hypervisor/testing';

/** Places in the memory of every program. What is not named is not present. */
export const PLACE = {
  code: 0x1000,
  data: 0x2000,
  readOnly: 0x4000,
  guard: 0x5000,
  stack: 0x6000,
  stackTop: 0x8000,
  output: 0x8000,
  unnamed: 0xa000,
  memoryBytes: 0x10000,
} as const;

export const OUTPUT_BYTES = 0x1000;

/**
 * One instruction: assembly for the reader, the machine code for real drivers, and what it does for the fake.
 * `play` is called with RIP behind the instruction; without a step the guest goes on.
 */
export type Instruction = readonly [
  asm: string,
  machineCode: string,
  // biome-ignore lint/suspicious/noConfusingVoidType: most instructions only change state
  play: (machine: FakeMachine) => FakeStep | void,
];

export interface Program {
  readonly name: string;
  readonly instructions: readonly Instruction[];
  readonly code: Uint8Array;
  readonly script: FakeProgram;
}

export function program(name: string, instructions: readonly Instruction[]): Program {
  const byOffset = new Map<number, { play: Instruction[2]; lengthBytes: number }>();
  const pieces: Buffer[] = [];
  let offset = 0;
  for (const [, machineCode, play] of instructions) {
    const bytes = Buffer.from(machineCode, 'hex');
    byOffset.set(offset, { play, lengthBytes: bytes.byteLength });
    pieces.push(bytes);
    offset += bytes.byteLength;
  }
  const script: FakeProgram = (machine) => {
    const at = machine.regs.rip;
    const instruction = byOffset.get(Number(at) - PLACE.code) ?? machine.raise(6);
    machine.regs.rip = at + BigInt(instruction.lengthBytes);
    try {
      return instruction.play(machine) ?? { kind: 'next' };
    } catch (exception) {
      // A fault leaves RIP at the instruction.
      machine.regs.rip = at;
      throw exception;
    }
  };
  return { name, instructions, code: Buffer.concat(pieces), script };
}

export interface PlanOptions {
  /** Whether ports are served on the vCPU thread. @defaultValue true */
  readonly output?: boolean;
  /** Built for ring 0: with a page of page tables below the code, which map nothing. @defaultValue false */
  readonly ring0?: boolean;
}

/** A plan that holds a program. */
export function planOf({ code }: Program, { output = true, ring0 = false }: PlanOptions = {}): VmPlan {
  const { READ, WRITE, EXECUTE, STACK_GUARD } = Rights;
  return {
    memoryBytes: PLACE.memoryBytes,
    regions: [
      { address: PLACE.code, lengthBytes: 0x1000, rights: READ | WRITE | EXECUTE },
      { address: PLACE.data, lengthBytes: 0x2000, rights: READ | WRITE },
      { address: PLACE.readOnly, lengthBytes: 0x1000, rights: READ },
      { address: PLACE.guard, lengthBytes: 0x1000, rights: READ | STACK_GUARD },
      { address: PLACE.stack, lengthBytes: 0x2000, rights: READ | WRITE },
      { address: PLACE.output, lengthBytes: OUTPUT_BYTES, rights: READ | WRITE },
    ],
    load: [
      { address: PLACE.code, bytes: code },
      { address: PLACE.readOnly, bytes: word(0x5eedn) },
      { address: PLACE.output, bytes: word(8n) },
    ],
    ...(output && { outputBuffer: { address: PLACE.output, lengthBytes: OUTPUT_BYTES } }),
    ...(ring0 && { ring0: { pageTablesBytes: PLACE.code } }),
  };
}

export function word(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}
