import type { Random } from './random.js';

/** Numbers at the edges of what parsers compare with. */
const EDGES = [
  0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 0x7f, 0x80, 0xff, 0x100, 0xfff, 0x1000, 0x7fff, 0x8000, 0xffff,
];
const WIDE_EDGES = [0x10000, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff];
const MAX_STEPS = 6;

/** A changed copy of `input`, at most `maxBytes` long; `other` is a donor of pieces. */
export function mutateBytes(
  input: Uint8Array,
  other: Uint8Array,
  random: Random,
  maxBytes: number,
): Uint8Array {
  let bytes = Uint8Array.from(input);
  for (let steps = 1 + random.below(MAX_STEPS); steps > 0; steps--) bytes = mutateOnce(bytes, other, random);
  return bytes.subarray(0, maxBytes);
}

function mutateOnce(
  bytes: Uint8Array<ArrayBuffer>,
  other: Uint8Array,
  random: Random,
): Uint8Array<ArrayBuffer> {
  const at = random.below(bytes.byteLength);
  switch (random.below(9)) {
    case 0:
      if (at < bytes.byteLength) bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
      return bytes;
    case 1:
      if (at < bytes.byteLength) bytes[at] = random.below(256);
      return bytes;
    case 2:
      return setNumber(bytes, random, random.pick(EDGES));
    case 3:
      return setNumber(bytes, random, random.pick(WIDE_EDGES));
    case 4:
      return setNumber(bytes, random, bytes.byteLength + random.below(33) - 16);
    case 5:
      return bytes.slice(0, at);
    case 6:
      return splice(
        bytes,
        at,
        0,
        Uint8Array.from({ length: 1 + random.below(16) }, () => random.below(256)),
      );
    case 7:
      return splice(bytes, at, random.below(16), new Uint8Array(0));
    default: {
      const from = random.below(other.byteLength);
      const piece = other.slice(from, from + 1 + random.below(64));
      return splice(bytes, at, random.chance(2) ? piece.byteLength : 0, piece);
    }
  }
}

/** Stores a number, or adds a small one, at 1, 2, 4 or 8 bytes, mostly where a parser would look for it. */
function setNumber(bytes: Uint8Array<ArrayBuffer>, random: Random, value: number): Uint8Array<ArrayBuffer> {
  const width = random.pick([1, 2, 4, 4, 8, 8]);
  if (bytes.byteLength < width) return bytes;
  const anywhere = random.below(bytes.byteLength - width + 1);
  const at = random.chance(4) ? anywhere : anywhere - (anywhere % width);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const add = random.chance(3);
  const whole = BigInt(value) * (random.chance(8) ? 0x1_0000_0001n : 1n);
  if (width === 8)
    view.setBigUint64(at, BigInt.asUintN(64, whole + (add ? view.getBigUint64(at, true) : 0n)), true);
  else if (width === 4) view.setUint32(at, value + (add ? view.getUint32(at, true) : 0), true);
  else if (width === 2) view.setUint16(at, value + (add ? view.getUint16(at, true) : 0), true);
  else view.setUint8(at, value + (add ? view.getUint8(at) : 0));
  return bytes;
}

function splice(
  bytes: Uint8Array<ArrayBuffer>,
  at: number,
  removed: number,
  inserted: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const tail = bytes.subarray(Math.min(bytes.byteLength, at + removed));
  const result = new Uint8Array(at + inserted.byteLength + tail.byteLength);
  result.set(bytes.subarray(0, at));
  result.set(inserted, at);
  result.set(tail, at + inserted.byteLength);
  return result;
}
