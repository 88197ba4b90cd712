/** What is known of a run without asking the cell. */
export interface AnswerLimits {
  readonly memoryBytes: number;
  /** From before the worker posted it to after its answer was taken, by the worker's clock. */
  readonly elapsedMs: number;
  /** When its answer had been taken: CLOCK_MONOTONIC, as the moments of an answer are. */
  readonly takenNs: number;
}

const RECORD_BYTES = 512;
const HEADER_BYTES = 16;
const TIMES_BYTE = 64;
const PAGE_BYTES = 4096;
const MOST_OUTBOX_BYTES = 256 * 1024;
const MOST_OUTBOX_ENTRIES = 4096;
const OUTBOX_HEADER_BYTES = 8;
/** Ports that the core serves itself (guest-abi 5.1). */
const OUTBOX_PORTS = new Set([99, 102, 103, 104]);
const MOST_PORT = 0xffff;
const MOST_VECTOR = 31;
const MOST_INSTRUCTION_BYTES = 15;
const MOST_ACCESS_BYTES = 64;
/** The clocks of both sides are one, read in other units. */
const CLOCK_SLACK_NS = 1_000_000;

const HALT = 0;
const IO_OUT = 1;
const IO_IN = 2;
const EXCEPTION = 3;
const MMIO = 4;
const CANCELLED = 5;
const UNSUPPORTED_INSTRUCTION = 9;
const MOST_EXIT = UNSUPPORTED_INSTRUCTION;
const ALL_FLAGS = 7;

/**
 * Checks every field of answers that came from another process (`src/core/blocks.hpp`). Registers, error codes and
 * addresses are any numbers: a guest can make them so.
 */
export class AnswerCheck {
  readonly #words: Uint32Array;
  readonly #doubles: Float64Array;

  /** @param records of `CompletionRecords` */
  constructor(records: Uint8Array) {
    this.#words = new Uint32Array(records.buffer);
    this.#doubles = new Float64Array(records.buffer);
  }

  outboxEntries(index: number): number {
    return this.#word(index, 7);
  }
  outboxBytes(index: number): number {
    return this.#word(index, 8);
  }

  /** What cannot be true of an answer, in words; undefined when all of it can. */
  problem(index: number, { memoryBytes, elapsedMs, takenNs }: AnswerLimits): string | undefined {
    const exit = this.#word(index, 0);
    if (exit > MOST_EXIT) return `exit ${exit} does not exist`;
    if (this.#word(index, 1) > ALL_FLAGS) return 'unknown flags of an answer';
    const problem = this.#exitProblem(exit, this.#word(index, 2), this.#word(index, 3));
    if (problem !== undefined) return problem;
    if (this.#word(index, 6) * PAGE_BYTES > memoryBytes) return 'more pages restored than there are';
    const entries = this.outboxEntries(index);
    const bytes = this.outboxBytes(index);
    if (entries > MOST_OUTBOX_ENTRIES || bytes > MOST_OUTBOX_BYTES) return 'an outbox beyond its caps';
    if (bytes < entries * OUTBOX_HEADER_BYTES) return 'more outbox entries than bytes';
    return this.#timeProblem(index, elapsedMs * 1e6 + CLOCK_SLACK_NS, takenNs);
  }

  #exitProblem(exit: number, number: number, sizeBytes: number): string | undefined {
    switch (exit) {
      case HALT:
        return undefined;
      case IO_OUT:
      case IO_IN:
        return number > MOST_PORT || sizeBytes === 0 || sizeBytes > 4
          ? 'a port that does not exist'
          : undefined;
      case EXCEPTION:
        return number > MOST_VECTOR ? 'a vector that does not exist' : undefined;
      case MMIO:
        return sizeBytes > MOST_ACCESS_BYTES ? 'an access of an impossible size' : undefined;
      case UNSUPPORTED_INSTRUCTION:
        return sizeBytes > MOST_INSTRUCTION_BYTES ? 'an instruction of an impossible size' : undefined;
      default:
        return undefined;
    }
  }

  #timeProblem(index: number, mostNs: number, takenNs: number): string | undefined {
    const doubles = this.#doubles;
    const first = (index * RECORD_BYTES + HEADER_BYTES + TIMES_BYTE) / 8;
    const posted = doubles[first] as number;
    const taken = doubles[first + 1] as number;
    const restored = doubles[first + 2] as number;
    const entered = doubles[first + 3] as number;
    const left = doubles[first + 4] as number;
    const isPossible =
      follows(posted, taken, mostNs) &&
      follows(taken, restored, mostNs) &&
      follows(restored, entered, mostNs) &&
      follows(entered, left, mostNs) &&
      follows(left, takenNs, mostNs);
    if (isPossible) return undefined;
    // A run that was cancelled or taken back before its slot came to it has no moments.
    const isWithout = posted === 0 && taken === 0 && restored === 0 && entered === 0 && left === 0;
    return isWithout && this.#word(index, 0) === CANCELLED
      ? undefined
      : 'phases that took longer than the run';
  }

  #word(index: number, word: number): number {
    return this.#words[(index * RECORD_BYTES + HEADER_BYTES) / 4 + word] as number;
  }
}

function follows(fromNs: number, toNs: number, mostNs: number): boolean {
  const between = toNs - fromNs;
  // NaN fails each comparison.
  return between >= 0 && between <= mostNs;
}

/** What is wrong with an outbox of so many entries: they fill it to the byte, and are of ports that are kept. */
export function outboxProblem(bytes: Uint8Array, entries: number): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = 0;
  for (let i = 0; i < entries; i++) {
    if (offset + OUTBOX_HEADER_BYTES > bytes.byteLength) return 'a truncated outbox';
    if (!OUTBOX_PORTS.has(view.getUint32(offset, true))) return 'an outbox entry of another port';
    const length = view.getUint32(offset + 4, true);
    offset += OUTBOX_HEADER_BYTES + Math.ceil(length / 8) * 8;
    if (offset > bytes.byteLength) return 'a truncated outbox entry';
  }
  return offset === bytes.byteLength ? undefined : 'an outbox that is longer than its entries';
}
