import { exceptionName } from './exceptions.js';
import { GuestCode } from './guest-codes.js';

/** Code and message together (guest-abi 5.2). */
export const MAX_ABORT_BYTES = 1024;

/** How a guest said that it cannot go on. */
export interface GuestAbort {
  readonly code: number;
  readonly message: string;
  /** Name of the CPU exception that the guest's own handler reports. */
  readonly vector?: string;
}

/**
 * Reads what a guest sent to port 102 before the terminator (guest-abi 5.2): code byte, exception number if the
 * next byte is one, text. As in the reference, a text that begins with such a byte is misread as an exception.
 */
export function decodeAbort(bytes: Uint8Array): GuestAbort {
  if (bytes.byteLength > MAX_ABORT_BYTES) return { code: 0, message: 'Guest abort buffer overflowed' };
  const code = bytes[0] ?? 0;
  const vector = bytes.byteLength >= 2 ? exceptionName(bytes[1] as number) : undefined;
  if (vector === undefined) return { code, message: lossyUtf8(bytes.subarray(1)) };
  return { code, vector, message: `Exception: ${vector} | ${lossyUtf8(bytes.subarray(2))}` };
}

/** Whether an abort says that memory ran out: the C library's code, or the text of a Rust panic (guest-abi 9.5). */
export function isOutOfMemory(abort: GuestAbort): boolean {
  return (
    abort.code === GuestCode.MallocFailed ||
    (abort.code === GuestCode.UnknownError && /memory allocation of \d+ bytes failed/.test(abort.message))
  );
}

function lossyUtf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
