import { Builder } from 'flatbuffers';

/** One entry of a trace batch, as a guest writes it (guest-abi 7.3). */
export type TraceBatchEntry =
  | {
      readonly kind: 'open';
      readonly id: bigint;
      /** Written also when it is 0; absent: none. */
      readonly parent?: bigint;
      readonly name: string;
      readonly target: string;
      readonly tsc: bigint;
      readonly fields?: readonly (readonly [string, string])[];
    }
  | { readonly kind: 'close'; readonly id: bigint; readonly tsc: bigint }
  | {
      readonly kind: 'event';
      readonly parent: bigint;
      readonly name: string;
      readonly tsc: bigint;
      readonly fields?: readonly (readonly [string, string])[];
    };

const EventType = { open: 1, close: 2, event: 3 } as const;

/** A size-prefixed GuestTraceData (guest-abi 7.3, 11.1). */
export function encodeTraceBatch(entries: readonly TraceBatchEntry[], startTsc = 0n): Uint8Array {
  const builder = new Builder(1024);
  const envelopes = entries.map((entry) => {
    const event = encodeEntry(builder, entry);
    builder.startObject(2);
    builder.addFieldInt8(0, EventType[entry.kind], 0);
    builder.addFieldOffset(1, event, 0);
    return builder.endObject();
  });
  const events = vectorOf(builder, envelopes);
  builder.startObject(2);
  builder.addFieldInt64(0, startTsc, 0n);
  builder.addFieldOffset(1, events, 0);
  builder.finishSizePrefixed(builder.endObject());
  return builder.asUint8Array().slice();
}

function encodeEntry(builder: Builder, entry: TraceBatchEntry): number {
  switch (entry.kind) {
    case 'open': {
      const name = builder.createString(entry.name);
      const target = builder.createString(entry.target);
      const fields = fieldsOf(builder, entry.fields);
      builder.startObject(6);
      builder.addFieldInt64(0, entry.id, 0n);
      if (entry.parent !== undefined) {
        builder.addInt64(entry.parent);
        builder.slot(1);
      }
      builder.addFieldOffset(2, name, 0);
      builder.addFieldOffset(3, target, 0);
      builder.addFieldInt64(4, entry.tsc, 0n);
      builder.addFieldOffset(5, fields, 0);
      return builder.endObject();
    }
    case 'close':
      builder.startObject(2);
      builder.addFieldInt64(0, entry.id, 0n);
      builder.addFieldInt64(1, entry.tsc, 0n);
      return builder.endObject();
    case 'event': {
      const name = builder.createString(entry.name);
      const fields = fieldsOf(builder, entry.fields);
      builder.startObject(4);
      builder.addFieldInt64(0, entry.parent, 0n);
      builder.addFieldOffset(1, name, 0);
      builder.addFieldInt64(2, entry.tsc, 0n);
      builder.addFieldOffset(3, fields, 0);
      return builder.endObject();
    }
  }
}

function fieldsOf(builder: Builder, fields: readonly (readonly [string, string])[] = []): number {
  const pairs = fields.map(([key, value]) => {
    const texts = [builder.createString(key), builder.createString(value)] as const;
    builder.startObject(2);
    builder.addFieldOffset(0, texts[0], 0);
    builder.addFieldOffset(1, texts[1], 0);
    return builder.endObject();
  });
  return vectorOf(builder, pairs);
}

function vectorOf(builder: Builder, offsets: readonly number[]): number {
  builder.startVector(4, offsets.length, 4);
  for (const offset of offsets.toReversed()) builder.addOffset(offset);
  return builder.endVector();
}
