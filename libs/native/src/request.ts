import { REGISTER_NAMES, type RegisterValues } from './registers.js';

/** What a request block says (`src/core/blocks.hpp`). Ranges are checked by the core. */
export interface RequestFields {
  readonly restore?: boolean;
  readonly writes?: readonly { readonly address: number; readonly bytes: Uint8Array }[];
  readonly entry?: Partial<RegisterValues>;
  readonly startsCall?: boolean;
  /** Whole microseconds; 0 or absent: none. */
  readonly deadlineUs?: number;
  readonly traces?: boolean;
}

const HEADER_BYTES = 168;
const WRITE_HEADER_BYTES = 16;
const ENTRY_WORD = 3;
const FLAG_RESTORE = 1;
const FLAG_ENTRY = 2;
const FLAG_STARTS_CALL = 4;
const FLAG_TRACE = 8;
const TWO_32 = 2 ** 32;
/** A larger block is let go after use. */
const KEPT_BYTES = 1024 * 1024;

const pad8 = (length: number) => (length + 7) & ~7;

/**
 * Packs requests into one array that is used again: the addon copies it before `run` returns, so one writer
 * serves a whole driver.
 */
export class RequestWriter {
  #bytes = new Uint8Array(0);
  #words = new Uint32Array(0);
  #registers = new BigUint64Array(0);

  constructor() {
    this.#allocate(16 * 1024);
  }

  /** The array that holds the block. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** @returns the length of the block. */
  pack(request: RequestFields): number {
    const writes = request.writes ?? [];
    let payloadBytes = 0;
    for (const write of writes) payloadBytes += WRITE_HEADER_BYTES + pad8(write.bytes.length);
    const length = HEADER_BYTES + payloadBytes;
    if (length > this.#bytes.length || (this.#bytes.length > KEPT_BYTES && length <= KEPT_BYTES))
      this.#allocate(Math.max(length, 16 * 1024));

    let flags = 0;
    if (request.restore === true) flags |= FLAG_RESTORE;
    if (request.startsCall === true) flags |= FLAG_STARTS_CALL;
    if (request.traces === true) flags |= FLAG_TRACE;
    if (request.entry !== undefined) {
      flags |= FLAG_ENTRY;
      this.#putEntry(request.entry);
    }
    const words = this.#words;
    words[0] = flags;
    words[1] = writes.length;
    this.#putU64(2, payloadBytes);
    this.#putU64(4, request.deadlineUs ?? 0);
    let offset = HEADER_BYTES;
    for (const { address, bytes } of writes) {
      this.#putU64(offset / 4, address);
      this.#putU64(offset / 4 + 2, bytes.length);
      this.#bytes.set(bytes, offset + WRITE_HEADER_BYTES);
      offset += WRITE_HEADER_BYTES + pad8(bytes.length);
    }
    return length;
  }

  #putU64(word: number, value: number): void {
    this.#words[word] = value % TWO_32;
    this.#words[word + 1] = Math.floor(value / TWO_32);
  }

  #putEntry(entry: Partial<RegisterValues>): void {
    const registers = this.#registers;
    registers.fill(0n, ENTRY_WORD, ENTRY_WORD + REGISTER_NAMES.length);
    for (let i = 0; i < REGISTER_NAMES.length; i++) {
      const value = entry[REGISTER_NAMES[i] as (typeof REGISTER_NAMES)[number]];
      if (value !== undefined) registers[ENTRY_WORD + i] = value;
    }
  }

  #allocate(length: number): void {
    const buffer = new ArrayBuffer(pad8(length));
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
    this.#registers = new BigUint64Array(buffer);
  }
}
