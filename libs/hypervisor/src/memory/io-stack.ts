import type { MemoryWrite } from '../driver.js';
import { hypervisorError } from '../errors.js';
import type { LayoutPart } from './layout.js';

/** The header, and the back pointer behind each element. */
const WORD_BYTES = 8;
const LENGTH_PREFIX_BYTES = 4;
/** Up to this size all elements are read at once: one copy instead of two for nearly every call. */
const WHOLE_READ_BYTES = 64 * 1024;

/** What an input or output stack needs of a VM. */
export interface GuestMemory {
  read(address: number, lengthBytes: number): Uint8Array;
}

/** An element that was taken from the top of a stack, and the store that takes it off in guest memory, too. */
export interface PoppedElement {
  readonly bytes: Uint8Array;
  /** New header, and zeroes over the element (guest-abi 6). */
  readonly removal: readonly MemoryWrite[];
}

/** Bytes of the largest element that fits an empty stack. */
export function largestElementBytes(stack: LayoutPart): number {
  return stack.lengthBytes - 2 * WORD_BYTES;
}

/** The store that empties a stack. */
export function emptyStack(stack: LayoutPart): MemoryWrite {
  return { address: stack.address, bytes: EMPTY_HEADER };
}

const EMPTY_HEADER = word(WORD_BYTES);

/**
 * The store that makes `element` the only one of a stack: header, element, back pointer, as guest-abi 6 draws it.
 *
 * @returns a copy of the element, or `undefined` when it does not fit.
 */
export function onlyElement(stack: LayoutPart, element: Uint8Array): MemoryWrite | undefined {
  if (element.byteLength > largestElementBytes(stack)) return undefined;
  const bytes = Buffer.allocUnsafe(element.byteLength + 2 * WORD_BYTES);
  setWord(bytes, 0, bytes.byteLength);
  bytes.set(element, WORD_BYTES);
  setWord(bytes, bytes.byteLength - WORD_BYTES, WORD_BYTES);
  return { address: stack.address, bytes };
}

/**
 * The stores that push `element` onto a stack that the guest may have changed.
 *
 * @throws MAYFLY_ERR_GUEST_PROTOCOL when the header is out of range or the element does not fit.
 */
export function pushElement(memory: GuestMemory, stack: LayoutPart, element: Uint8Array): MemoryWrite[] {
  const top = readHeader(memory, stack);
  if (top < WORD_BYTES || top > stack.lengthBytes) throw outOfBounds('push data to', top, stack);
  const required = element.byteLength + WORD_BYTES;
  const available = stack.lengthBytes - top;
  if (required > available)
    throw hypervisorError(
      'MAYFLY_ERR_GUEST_PROTOCOL',
      `Not enough space in buffer to push data. Required: ${required}, Available: ${available}`,
    );
  const bytes = Buffer.allocUnsafe(required);
  bytes.set(element);
  setWord(bytes, element.byteLength, top);
  return [
    { address: stack.address + top, bytes },
    { address: stack.address, bytes: word(top + required) },
  ];
}

/**
 * Takes the top element. Header, back pointer and length are the guest's and are checked, also where the reference
 * does not (guest-abi 6, Appendix B).
 *
 * @throws MAYFLY_ERR_GUEST_PROTOCOL.
 */
export function popElement(memory: GuestMemory, stack: LayoutPart): PoppedElement {
  const top = readHeader(memory, stack);
  if (top < 2 * WORD_BYTES || top > stack.lengthBytes) throw outOfBounds('pop data from', top, stack);
  const whole = top <= WHOLE_READ_BYTES;
  const from = whole ? WORD_BYTES : top - WORD_BYTES;
  const tail = asBuffer(memory.read(stack.address + from, top - from));
  const end = top - WORD_BYTES;
  const back = getWord(tail, tail.byteLength - WORD_BYTES);
  if (back < WORD_BYTES || back > end - LENGTH_PREFIX_BYTES)
    throw hypervisorError(
      'MAYFLY_ERR_GUEST_PROTOCOL',
      `Unable to pop data from buffer: Back pointer is out of bounds. Back pointer: ${back}, Stack pointer: ${top}`,
    );
  const region = whole
    ? tail.subarray(back - WORD_BYTES, end - WORD_BYTES)
    : asBuffer(memory.read(stack.address + back, end - back));
  const lengthBytes = LENGTH_PREFIX_BYTES + region.readUInt32LE(0);
  if (lengthBytes > region.byteLength)
    throw hypervisorError(
      'MAYFLY_ERR_GUEST_PROTOCOL',
      `Unable to pop data from buffer: Length prefix is out of bounds. Length: ${lengthBytes}, Available: ${region.byteLength}`,
    );
  return {
    bytes: region.subarray(0, lengthBytes),
    get removal() {
      return removalOf(stack, back, top);
    },
  };
}

function removalOf(stack: LayoutPart, back: number, top: number): MemoryWrite[] {
  if (back === WORD_BYTES) {
    const bytes = Buffer.alloc(top);
    setWord(bytes, 0, WORD_BYTES);
    return [{ address: stack.address, bytes }];
  }
  return [
    { address: stack.address + back, bytes: Buffer.alloc(top - back) },
    { address: stack.address, bytes: word(back) },
  ];
}

function readHeader(memory: GuestMemory, stack: LayoutPart): number {
  return getWord(asBuffer(memory.read(stack.address, WORD_BYTES)), 0);
}

function outOfBounds(action: string, top: number, stack: LayoutPart) {
  return hypervisorError(
    'MAYFLY_ERR_GUEST_PROTOCOL',
    `Unable to ${action} buffer: Stack pointer is out of bounds. Stack pointer: ${top}, Buffer size: ${stack.lengthBytes}`,
  );
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A u64 as a number: what is beyond 2^53 loses digits but stays above every bound. */
function getWord(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * 2 ** 32 + bytes.readUInt32LE(at);
}

/** Stores a value below 2^32 as u64. */
function setWord(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value, at);
  bytes.writeUInt32LE(0, at + 4);
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(WORD_BYTES);
  setWord(bytes, 0, value);
  return bytes;
}
