import { CompletionRecords, type NativeAnswer } from './answer.js';
import { AnswerCheck, type AnswerLimits, outboxProblem } from './answer-check.js';
import type { NativeCell } from './cell-binding.js';
import { CELL_LIMITS } from './cell-wire.js';

const CAPACITY = 16;
const RECORD_BYTES = 512;
const ENTRY_WORDS = 8;
const ENTRY_BYTES = 4 * ENTRY_WORDS;
const TAIL_PREFIX_BYTES = 2048;
const ENTRIES_BYTE = CAPACITY * RECORD_BYTES;
const TAILS_BYTE = ENTRIES_BYTE + CAPACITY * ENTRY_BYTES;
const MOMENT_BYTE = TAILS_BYTE + CAPACITY * TAIL_PREFIX_BYTES;
const TWO_32 = 2 ** 32;

const NO_OUTBOX = { outbox: () => new Uint8Array(0) };

/** The array that `NativeCell.take` fills, and its reader. What it reads came from a cell: nothing of it is true. */
export class CellCompletions {
  readonly #batch = new Uint8Array(MOMENT_BYTE + 8);
  readonly #records = new CompletionRecords(CAPACITY, this.#batch.buffer);
  readonly #check = new AnswerCheck(this.#records.bytes);
  readonly #entries = new Uint32Array(this.#batch.buffer, ENTRIES_BYTE, CAPACITY * ENTRY_WORDS);
  readonly #moment = new Float64Array(this.#batch.buffer, MOMENT_BYTE, 1);

  /** @returns how many; `CellCompletions.capacity` of them: there may be more. */
  take(cell: NativeCell): number {
    return cell.take(this.#batch);
  }
  get capacity(): number {
    return CAPACITY;
  }
  /** When the latest of them had been taken, by CLOCK_MONOTONIC. */
  get takenNs(): number {
    return this.#moment[0] as number;
  }

  seat(index: number): number {
    return this.#word(index, 0);
  }
  generation(index: number): number {
    return this.#word(index, 1);
  }
  op(index: number): number {
    return this.#word(index, 2);
  }
  status(index: number): number {
    return this.#word(index, 3);
  }
  errno(index: number): number {
    return this.#word(index, 4) | 0;
  }
  /** What the operation answers beside: loses digits above 2^53. */
  value(index: number): number {
    return this.#word(index, 6) + this.#word(index, 7) * TWO_32;
  }
  /** Text of a failure. */
  reason(index: number): string {
    return this.#records.reason(index);
  }

  /** The answer of a run, or in words what cannot be true of it. */
  answer(index: number, cell: NativeCell, limits: AnswerLimits): NativeAnswer | string {
    const lie = this.#check.problem(index, limits);
    if (lie !== undefined) return lie;
    const entries = this.#check.outboxEntries(index);
    const outboxBytes = this.#check.outboxBytes(index);
    if (outboxBytes === 0) return this.#records.answer(index, NO_OUTBOX);
    const outbox = new Uint8Array(outboxBytes);
    cell.copyOutbox(this.seat(index), outbox);
    return outboxProblem(outbox, entries) ?? this.#records.answer(index, { outbox: () => outbox });
  }

  /** Bytes of guest memory that came with an answer, copied; or what cannot be true of their number. */
  tail(index: number, cell: NativeCell, leastBytes: number, mostBytes: number): Uint8Array | string {
    const length = this.#word(index, 5);
    if (length < leastBytes || length > Math.min(mostBytes, CELL_LIMITS.tailBytes))
      return `an answer brings ${length} bytes of memory`;
    const start = TAILS_BYTE + index * TAIL_PREFIX_BYTES;
    if (length <= TAIL_PREFIX_BYTES) return this.#batch.slice(start, start + length);
    const bytes = new Uint8Array(length);
    cell.copyTail(this.seat(index), bytes);
    return bytes;
  }

  #word(index: number, word: number): number {
    return this.#entries[index * ENTRY_WORDS + word] as number;
  }
}
