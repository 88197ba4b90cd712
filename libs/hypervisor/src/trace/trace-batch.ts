import { FlatReader, type FlatTable } from '../codec/flat-reader.js';

/** One entry of a batch (guest-abi 7.3), as the guest wrote it. Times are raw time stamps of the guest. */
export type TraceEntry =
  | {
      readonly kind: 'open';
      readonly id: bigint;
      readonly parent: bigint | undefined;
      readonly name: Uint8Array;
      readonly target: Uint8Array;
      readonly tsc: bigint;
      readonly fields: TraceFields;
    }
  | { readonly kind: 'close'; readonly id: bigint; readonly tsc: bigint }
  | {
      readonly kind: 'event';
      readonly parent: bigint;
      readonly name: Uint8Array;
      readonly tsc: bigint;
      readonly fields: TraceFields;
    };

/** Undecoded: the taker decodes as many as it has room for. */
export interface TraceFields {
  readonly count: number;
  /** @throws MAYFLY_ERR_GUEST_PROTOCOL. */
  at(index: number): { readonly key: Uint8Array; readonly value: Uint8Array };
}

const NO_FIELDS: TraceFields = {
  count: 0,
  at() {
    throw new RangeError('no fields');
  },
};

const EventType = { OpenSpan: 1, CloseSpan: 2, LogEvent: 3 } as const;

/**
 * The entries of a size-prefixed GuestTraceData, one at a time. Texts are views of their bytes: nothing is decoded,
 * and nothing copied, before somebody wants it. `start_tsc` is not needed (see `RunClocks`).
 *
 * @throws MAYFLY_ERR_GUEST_PROTOCOL at the first entry that is malformed.
 */
export function* readTraceBatch(bytes: Uint8Array): Generator<TraceEntry, void> {
  const reader = new FlatReader(bytes, 'GuestTraceData');
  const entries = reader.tables(reader.root(), 1);
  if (!entries) return;
  for (let index = 0; index < entries.count; index++)
    yield entryOf(reader, reader.table(entries.start + 4 * index));
}

function entryOf(reader: FlatReader, envelope: FlatTable): TraceEntry {
  const type = reader.uint8(envelope, 0);
  const table = reader.requiredTable(envelope, 1);
  switch (type) {
    case EventType.OpenSpan:
      return {
        kind: 'open',
        id: reader.uint64(table, 0),
        // An optional scalar: absent is none, also where 0 is a value.
        parent: reader.field(table, 1, 8) === 0 ? undefined : reader.uint64(table, 1),
        name: requiredText(reader, table, 2),
        target: requiredText(reader, table, 3),
        tsc: reader.uint64(table, 4),
        fields: fieldsOf(reader, table, 5),
      };
    case EventType.CloseSpan:
      return { kind: 'close', id: reader.uint64(table, 0), tsc: reader.uint64(table, 1) };
    case EventType.LogEvent:
      return {
        kind: 'event',
        parent: reader.uint64(table, 0),
        name: requiredText(reader, table, 1),
        tsc: reader.uint64(table, 2),
        fields: fieldsOf(reader, table, 3),
      };
    default:
      return reader.fail('unknown type of event');
  }
}

function fieldsOf(reader: FlatReader, table: FlatTable, id: number): TraceFields {
  const vector = reader.tables(table, id);
  if (!vector) return NO_FIELDS;
  return {
    count: vector.count,
    at(index) {
      const field = reader.table(vector.start + 4 * index);
      return { key: requiredText(reader, field, 0), value: requiredText(reader, field, 1) };
    },
  };
}

/** The bytes of a string, NUL excluded. */
function requiredText(reader: FlatReader, table: FlatTable, id: number): Uint8Array {
  if (reader.field(table, id, 4) === 0) reader.fail(`field ${id} is missing`);
  return reader.bytes(table, id);
}
