import type { NativeVm } from './binding.js';
import { REGISTER_NAMES, type RegisterValues } from './registers.js';

/** Operations, as the records name them (`src/core/completion.hpp`). */
export const Op = {
  Create: 0,
  Run: 1,
  Snapshot: 2,
  Restore: 3,
  Close: 4,
  EngineClosed: 5,
  Prime: 6,
  Compare: 7,
  GetState: 8,
  SetState: 9,
  SetRegions: 10,
} as const;

export type AnswerExit =
  | { readonly kind: 'halt' }
  | { readonly kind: 'io-out'; readonly port: number; readonly sizeBytes: number; readonly value: number }
  | { readonly kind: 'io-in'; readonly port: number; readonly sizeBytes: number }
  | {
      readonly kind: 'exception';
      readonly vector: number;
      readonly errorCode: bigint;
      readonly rip: bigint;
      readonly address: bigint;
    }
  | {
      readonly kind: 'unsupported-instruction';
      readonly name: string;
      readonly bytes: Uint8Array;
      readonly rip: bigint;
    }
  | { readonly kind: 'mmio'; readonly address: bigint; readonly write: boolean; readonly lengthBytes: number }
  | { readonly kind: 'cancelled'; readonly by: 'kill' | 'deadline' | 'revoke' }
  | { readonly kind: 'shutdown' }
  | { readonly kind: 'unknown'; readonly reason: string }
  | { readonly kind: 'protocol'; readonly reason: string };

export interface AnswerOutboxEntry {
  readonly port: number;
  readonly bytes: Uint8Array;
}

/** Two moments of a run on the clocks of host and guest. */
export interface AnswerClock {
  readonly enteredNs: number;
  readonly leftNs: number;
  readonly enteredTsc: bigint;
  readonly leftTsc: bigint;
}

const RECORD_BYTES = 512;
const HEADER_BYTES = 16;
// Offsets in an answer (`src/core/blocks.hpp`), of which the first words are 32 bits wide.
const ERROR_CODE_BYTE = 40;
const TIMES_BYTE = 64;
const REGISTERS_BYTE = 112;
const CLOCK_BYTE = 256;
const TRACES_DROPPED_BYTE = 272;
const HEAP_EVENTS_BYTE = 276;
const REASON_BYTE = 280;
const REASON_BYTES = 216;
const FLAG_BY_DEADLINE = 1;
const FLAG_MMIO_WRITE = 2;
const FLAG_BY_REVOKE = 4;
const OUTBOX_HEADER_BYTES = 8;
const MAX_INSTRUCTION_BYTES = 15;

const text = new TextDecoder();

/** How a run ended. Registers are decoded when somebody asks for them. */
export class NativeAnswer {
  #registers: BigUint64Array | undefined;
  #decoded: RegisterValues | undefined;

  constructor(
    readonly exit: AnswerExit,
    readonly outbox: readonly AnswerOutboxEntry[],
    readonly outboxDropped: number,
    readonly phases: {
      queuedNs: number;
      restoreNs: number;
      runNs: number;
      enteredNs: number;
      leftNs: number;
    },
    readonly exits: number,
    readonly dirtyPages: number,
    registers: BigUint64Array,
    readonly clock: AnswerClock | undefined,
    readonly tracesDropped: number,
    readonly heapEvents: number,
  ) {
    this.#registers = registers;
  }

  get regs(): RegisterValues {
    if (this.#decoded === undefined) {
      const words = this.#registers as BigUint64Array;
      const values = {} as RegisterValues;
      REGISTER_NAMES.forEach((name, i) => {
        values[name] = words[i] as bigint;
      });
      this.#decoded = values;
      this.#registers = undefined;
    }
    return this.#decoded;
  }
}

/** The array that `drain` fills, and its reader. */
export class CompletionRecords {
  readonly capacity: number;
  readonly bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #doubles: Float64Array;
  readonly #quads: BigUint64Array;

  /** @param buffer begins with the records */
  constructor(capacity: number, buffer = new ArrayBuffer(capacity * RECORD_BYTES)) {
    this.capacity = capacity;
    const length = capacity * RECORD_BYTES;
    this.bytes = new Uint8Array(buffer, 0, length);
    this.#words = new Uint32Array(buffer, 0, length / 4);
    this.#doubles = new Float64Array(buffer, 0, length / 8);
    this.#quads = new BigUint64Array(buffer, 0, length / 8);
  }

  vm(index: number): number {
    return this.#word(index, 0);
  }
  op(index: number): number {
    return this.#word(index, 4);
  }
  status(index: number): number {
    return this.#word(index, 8);
  }

  /** The answer of a run, which fetches the outbox from its VM where there is one. */
  answer(index: number, vm: Pick<NativeVm, 'outbox'>): NativeAnswer {
    const at = HEADER_BYTES;
    const outboxEntries = this.#word(index, at + 28);
    const time = (index * RECORD_BYTES + at + TIMES_BYTE) / 8;
    const doubles = this.#doubles;
    const posted = doubles[time] as number;
    const taken = doubles[time + 1] as number;
    const restored = doubles[time + 2] as number;
    const entered = doubles[time + 3] as number;
    const left = doubles[time + 4] as number;
    const registers = (index * RECORD_BYTES + at + REGISTERS_BYTE) / 8;
    return new NativeAnswer(
      this.#exit(index),
      outboxEntries === 0 ? [] : readOutbox(vm.outbox(), outboxEntries),
      this.#word(index, at + 36),
      {
        queuedNs: taken - posted,
        restoreNs: restored - taken,
        runNs: left - entered,
        enteredNs: entered,
        leftNs: left,
      },
      this.#word(index, at + 20),
      this.#word(index, at + 24),
      this.#quads.slice(registers, registers + REGISTER_NAMES.length),
      this.#clock(index, entered, left),
      this.#word(index, at + TRACES_DROPPED_BYTE),
      this.#word(index, at + HEAP_EVENTS_BYTE),
    );
  }

  /** The core fills it for a request with `traces` only. */
  #clock(index: number, enteredNs: number, leftNs: number): AnswerClock | undefined {
    const enteredTsc = this.#quad(index, HEADER_BYTES + CLOCK_BYTE);
    if (enteredTsc === 0n) return undefined;
    return { enteredNs, leftNs, enteredTsc, leftTsc: this.#quad(index, HEADER_BYTES + CLOCK_BYTE + 8) };
  }

  #exit(index: number): AnswerExit {
    const at = HEADER_BYTES;
    const flags = this.#word(index, at + 4);
    const number = this.#word(index, at + 8);
    const sizeBytes = this.#word(index, at + 12);
    switch (this.#word(index, at)) {
      case 0:
        return { kind: 'halt' };
      case 1:
        return { kind: 'io-out', port: number, sizeBytes, value: this.#word(index, at + 16) };
      case 2:
        return { kind: 'io-in', port: number, sizeBytes };
      case 3:
        return {
          kind: 'exception',
          vector: number,
          errorCode: this.#quad(index, at + ERROR_CODE_BYTE),
          rip: this.#quad(index, at + ERROR_CODE_BYTE + 8),
          address: this.#quad(index, at + ERROR_CODE_BYTE + 16),
        };
      case 4:
        return {
          kind: 'mmio',
          address: this.#quad(index, at + ERROR_CODE_BYTE + 16),
          write: (flags & FLAG_MMIO_WRITE) !== 0,
          lengthBytes: sizeBytes,
        };
      case 5:
        return { kind: 'cancelled', by: cancelledBy(flags) };
      case 6:
        return { kind: 'shutdown' };
      case 8:
        return { kind: 'protocol', reason: this.reason(index) };
      case 9:
        return {
          kind: 'unsupported-instruction',
          name: this.reason(index),
          bytes: this.#code(index, sizeBytes),
          rip: this.#quad(index, at + ERROR_CODE_BYTE + 8),
        };
      default:
        return { kind: 'unknown', reason: this.reason(index) };
    }
  }

  /** Text beside an exit, or of a failure. */
  reason(index: number): string {
    const start = index * RECORD_BYTES + HEADER_BYTES + REASON_BYTE;
    const bytes = this.bytes.subarray(start, start + REASON_BYTES);
    const end = bytes.indexOf(0);
    return text.decode(bytes.subarray(0, end < 0 ? REASON_BYTES : end));
  }

  /** The bytes of an instruction: eight in the error code's place, the rest in the address's. */
  #code(index: number, length: number): Uint8Array {
    const start = index * RECORD_BYTES + HEADER_BYTES + ERROR_CODE_BYTE;
    const code = new Uint8Array(Math.min(length, MAX_INSTRUCTION_BYTES));
    code.set(this.bytes.subarray(start, start + Math.min(code.length, 8)));
    if (code.length > 8) code.set(this.bytes.subarray(start + 16, start + 8 + code.length), 8);
    return code;
  }

  #word(index: number, byte: number): number {
    return this.#words[(index * RECORD_BYTES + byte) / 4] as number;
  }

  #quad(index: number, byte: number): bigint {
    return this.#quads[(index * RECORD_BYTES + byte) / 8] as bigint;
  }
}

function cancelledBy(flags: number): 'kill' | 'deadline' | 'revoke' {
  if ((flags & FLAG_BY_REVOKE) !== 0) return 'revoke';
  return (flags & FLAG_BY_DEADLINE) !== 0 ? 'deadline' : 'kill';
}

function readOutbox(bytes: Uint8Array, count: number): AnswerOutboxEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const entries: AnswerOutboxEntry[] = [];
  let offset = 0;
  while (entries.length < count && offset + OUTBOX_HEADER_BYTES <= bytes.length) {
    const port = view.getUint32(offset, true);
    const length = view.getUint32(offset + 4, true);
    offset += OUTBOX_HEADER_BYTES;
    entries.push({ port, bytes: bytes.slice(offset, offset + length) });
    offset += (length + 7) & ~7;
  }
  return entries;
}
