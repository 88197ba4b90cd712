import { isUtf8 } from 'node:buffer';
import { hypervisorError } from '../errors.js';

/** A table whose vtable and inline bytes are in bounds. Positions count from the start of the buffer. */
export interface FlatTable {
  readonly position: number;
  readonly lengthBytes: number;
  readonly vtable: number;
  readonly vtableBytes: number;
}

const SIZE_PREFIX_BYTES = 4;
/** Length and offset of the table itself, before the first field's slot. */
const VTABLE_HEADER_BYTES = 4;

/**
 * Reads a size-prefixed FlatBuffer that a guest wrote (guest-abi 7). Every offset and length is checked before it
 * is used; what does not hold is MAYFLY_ERR_GUEST_PROTOCOL. Positions of 0 mean an absent field. The buffer is a
 * copy of guest memory, so that nothing changes between check and use.
 */
export class FlatReader {
  readonly #what: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #endBytes: number;

  /** @param what Name of the root table, for messages. */
  constructor(bytes: Uint8Array, what: string) {
    this.#what = what;
    // A plain Uint8Array, so that values are none of Node's Buffers.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#endBytes = bytes.byteLength;
    if (bytes.byteLength < 2 * SIZE_PREFIX_BYTES) this.fail('the buffer is too short');
    this.#endBytes = SIZE_PREFIX_BYTES + this.#view.getUint32(0, true);
    if (this.#endBytes > bytes.byteLength) this.fail('the size prefix reaches past the element');
  }

  fail(detail: string): never {
    throw hypervisorError('MAYFLY_ERR_GUEST_PROTOCOL', `malformed ${this.#what}: ${detail}`);
  }

  root(): FlatTable {
    return this.table(SIZE_PREFIX_BYTES);
  }

  /** The table that the offset at `at` refers to. */
  table(at: number): FlatTable {
    const position = this.#follow(at, VTABLE_HEADER_BYTES);
    const vtable = position - this.#view.getInt32(position, true);
    if (vtable < SIZE_PREFIX_BYTES || vtable + VTABLE_HEADER_BYTES > this.#endBytes)
      this.fail('a vtable is out of bounds');
    const vtableBytes = this.#view.getUint16(vtable, true);
    const lengthBytes = this.#view.getUint16(vtable + 2, true);
    if (vtableBytes < VTABLE_HEADER_BYTES || vtableBytes % 2 !== 0 || vtable + vtableBytes > this.#endBytes)
      this.fail('a vtable is out of bounds');
    if (lengthBytes < 4 || position + lengthBytes > this.#endBytes) this.fail('a table is out of bounds');
    return { position, lengthBytes, vtable, vtableBytes };
  }

  /** Position of a field of `sizeBytes` bytes, or 0 when it is absent. */
  field(table: FlatTable, id: number, sizeBytes: number): number {
    const slot = VTABLE_HEADER_BYTES + 2 * id;
    if (slot + 2 > table.vtableBytes) return 0;
    const offset = this.#view.getUint16(table.vtable + slot, true);
    if (offset === 0) return 0;
    if (offset < 4 || offset + sizeBytes > table.lengthBytes) this.fail('a field is out of bounds');
    return table.position + offset;
  }

  uint8(table: FlatTable, id: number): number {
    const at = this.field(table, id, 1);
    return at === 0 ? 0 : this.#view.getUint8(at);
  }

  int32(table: FlatTable, id: number): number {
    const at = this.field(table, id, 4);
    return at === 0 ? 0 : this.#view.getInt32(at, true);
  }

  uint32(table: FlatTable, id: number): number {
    const at = this.field(table, id, 4);
    return at === 0 ? 0 : this.#view.getUint32(at, true);
  }

  int64(table: FlatTable, id: number): bigint {
    const at = this.field(table, id, 8);
    return at === 0 ? 0n : this.#view.getBigInt64(at, true);
  }

  uint64(table: FlatTable, id: number): bigint {
    const at = this.field(table, id, 8);
    return at === 0 ? 0n : this.#view.getBigUint64(at, true);
  }

  float32(table: FlatTable, id: number): number {
    const at = this.field(table, id, 4);
    return at === 0 ? 0 : this.#view.getFloat32(at, true);
  }

  float64(table: FlatTable, id: number): number {
    const at = this.field(table, id, 8);
    return at === 0 ? 0 : this.#view.getFloat64(at, true);
  }

  /** The table a field refers to; absent is malformed. */
  requiredTable(table: FlatTable, id: number): FlatTable {
    return this.table(this.#required(table, id));
  }

  /** Well-formed UTF-8 that ends with NUL, as the reference's verifier wants it; `undefined` when absent. */
  string(table: FlatTable, id: number): string | undefined {
    const at = this.field(table, id, 4);
    if (at === 0) return undefined;
    const { start, count } = this.#vector(at, 1);
    if (start + count >= this.#endBytes || this.#bytes[start + count] !== 0)
      this.fail('a string does not end with NUL');
    const text = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + start, count);
    if (!isUtf8(text)) this.fail('a string is not UTF-8');
    return text.toString('utf8');
  }

  requiredString(table: FlatTable, id: number): string {
    return this.string(table, id) ?? this.fail(`field ${id} is missing`);
  }

  /** A view of the bytes of a vector; empty when it is absent. */
  bytes(table: FlatTable, id: number): Uint8Array {
    const at = this.field(table, id, 4);
    if (at === 0) return this.#bytes.subarray(0, 0);
    const { start, count } = this.#vector(at, 1);
    return this.#bytes.subarray(start, start + count);
  }

  /** Positions of the offsets of a vector of tables; `undefined` when it is absent. */
  tables(table: FlatTable, id: number): { readonly start: number; readonly count: number } | undefined {
    const at = this.field(table, id, 4);
    return at === 0 ? undefined : this.#vector(at, 4);
  }

  #required(table: FlatTable, id: number): number {
    return this.field(table, id, 4) || this.fail(`field ${id} is missing`);
  }

  #vector(at: number, elementBytes: number): { start: number; count: number } {
    const position = this.#follow(at, 4);
    const count = this.#view.getUint32(position, true);
    const start = position + 4;
    if (start + count * elementBytes > this.#endBytes) this.fail('a vector is out of bounds');
    return { start, count };
  }

  /** Follows the forward offset at `at`, which is in bounds, to something of at least `lengthBytes`. */
  #follow(at: number, lengthBytes: number): number {
    if (at + 4 > this.#endBytes) this.fail('an offset is out of bounds');
    const target = at + this.#view.getUint32(at, true);
    if (target === at || target + lengthBytes > this.#endBytes) this.fail('an offset is out of bounds');
    return target;
  }
}
