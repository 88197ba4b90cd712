import type { JsonValue, Manifest } from '@mayfly/contracts';
import { tooLarge } from '../errors.js';

/**
 * Refuses what the version's input buffer cannot hold whatever its encoding adds, before it is queued.
 * @throws MAYFLY_ERR_GATEWAY_TOO_LARGE
 */
export function checkRoom(payloadBytes: number, { memory }: Manifest): void {
  if (payloadBytes > memory.inputBytes) throw tooLarge('inputBytes', memory.inputBytes);
}

/** Bytes of the strings and byte arrays among checked arguments. */
export function payloadBytes(args: readonly JsonValue[]): number {
  let total = 0;
  for (const { type, value } of args)
    if (typeof value === 'string')
      total += type === 'bytes' ? Buffer.byteLength(value, 'base64') : Buffer.byteLength(value);
  return total;
}
