/** Kinds of control messages (`src/cell/wire.hpp`). */
export const CellMessage = {
  Bind: 1,
  Create: 2,
  CreateFromSnapshot: 3,
  Run: 4,
  Snapshot: 5,
  Restore: 6,
  Prime: 7,
  Compare: 8,
  Close: 9,
  Kill: 10,
  Read: 11,
  Write: 12,
  DropSnapshot: 13,
  Revoke: 14,
  GetState: 15,
  SetState: 16,
  Hello: 100,
  Reply: 101,
} as const;

export const CELL_LIMITS = {
  slots: 256,
  seats: 4096,
  /** Bytes of a request block that goes through its seat. */
  seatRequestBytes: 64 * 1024 - 64,
  /** Guest memory that one read or write message carries. */
  messageDataBytes: 48 * 1024,
  watched: 8,
  watchedBytes: 4096,
  tailBytes: 1024 * 1024,
} as const;

export interface CellMessageFields {
  readonly kind: number;
  readonly seat?: number;
  readonly generation?: number;
  readonly snapshot?: number;
  readonly a?: number;
  readonly b?: number;
}

const HEAD_BYTES = 40;
const SEAT_REQUEST_BYTES = 64;
const PLAN_HEADER_BYTES = 48;
const NO_RING0 = 2n ** 64n - 1n;
const TWO_32 = 2 ** 32;

/** Packs the heads of messages, one after the other, into one array. */
export class CellMessageWriter {
  readonly #head = new Uint8Array(HEAD_BYTES);
  readonly #view = new DataView(this.#head.buffer);

  /** Valid until the next call. */
  pack({ kind, seat = 0, generation = 0, snapshot = 0, a = 0, b = 0 }: CellMessageFields): Uint8Array {
    const view = this.#view;
    view.setUint32(0, kind, true);
    view.setUint32(4, seat, true);
    view.setUint32(8, generation, true);
    view.setUint32(12, snapshot, true);
    setU64(view, 24, a);
    setU64(view, 32, b);
    return this.#head;
  }
}

/** What stands before the request block in a request file. */
export function cellRequestHead(
  generation: number,
  call: number,
  killed: boolean,
  lengthBytes: number,
): Uint8Array {
  const bytes = new Uint8Array(SEAT_REQUEST_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, generation, true);
  view.setUint32(4, lengthBytes, true);
  setU64(view, 8, call);
  setU64(view, 16, killed ? 1 : 0);
  return bytes;
}

export interface CellRange {
  readonly address: number;
  readonly lengthBytes: number;
}

/** Ranges as they stand in a message. */
export function cellRanges(ranges: readonly CellRange[]): Uint8Array {
  const bytes = new Uint8Array(ranges.length * 16);
  const view = new DataView(bytes.buffer);
  ranges.forEach(({ address, lengthBytes }, i) => {
    setU64(view, i * 16, address);
    setU64(view, i * 16 + 8, lengthBytes);
  });
  return bytes;
}

export interface CellPlan {
  readonly memoryBytes: number;
  readonly regions: readonly (CellRange & { readonly rights: number })[];
  readonly load: readonly { readonly address: number; readonly bytes: Uint8Array }[];
  readonly outputBuffer?: CellRange;
  readonly ring0?: { readonly pageTablesBytes: number };
  readonly watch?: readonly CellRange[];
}

/** The parts of a plan file. All numbers are whole and not negative; the core checks what they mean. */
export function cellPlanFile({
  memoryBytes,
  regions,
  load,
  outputBuffer,
  ring0,
  watch = [],
}: CellPlan): Uint8Array[] {
  const head = new Uint8Array(PLAN_HEADER_BYTES + regions.length * 24);
  const view = new DataView(head.buffer);
  setU64(view, 0, memoryBytes);
  setU64(view, 8, outputBuffer?.address ?? 0);
  setU64(view, 16, outputBuffer?.lengthBytes ?? 0);
  view.setBigUint64(24, ring0 === undefined ? NO_RING0 : BigInt(ring0.pageTablesBytes), true);
  view.setUint32(32, regions.length, true);
  view.setUint32(36, watch.length, true);
  view.setUint32(40, load.length, true);
  regions.forEach(({ address, lengthBytes, rights }, i) => {
    const at = PLAN_HEADER_BYTES + i * 24;
    setU64(view, at, address);
    setU64(view, at + 8, lengthBytes);
    setU64(view, at + 16, rights);
  });
  return [
    head,
    cellRanges(watch),
    cellRanges(load.map(({ address, bytes }) => ({ address, lengthBytes: bytes.byteLength }))),
    ...load.map(({ bytes }) => bytes),
  ];
}

function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % TWO_32, true);
  view.setUint32(at + 4, Math.floor(value / TWO_32), true);
}
