import {
  type JsonValue,
  type Manifest,
  parseJsonValue,
  type ReturnType,
  type TypedValue,
} from '@mayfly/contracts';
import { fitsInput } from '@mayfly/hypervisor/call-room';
import { tooLarge } from '../errors.js';

/** What the size of an encoded call depends on. */
export interface CallToFit {
  readonly entrypoint: string;
  readonly returns: ReturnType;
  /** Of the strings and byte arrays among the arguments. */
  readonly payloadBytes: number;
  /** Asked for only where the payload leaves it open. */
  readonly args: () => TypedValue[];
}

/**
 * Refuses a call that the version's input buffer cannot hold, encoded, before it is queued.
 * @throws MAYFLY_ERR_GATEWAY_TOO_LARGE
 */
export function checkRoom(
  { entrypoint, returns, payloadBytes, args }: CallToFit,
  { memory }: Manifest,
): void {
  const call = () => ({ name: entrypoint, args: args(), returns });
  if (!fitsInput(memory.inputBytes, payloadBytes, call)) throw tooLarge('inputBytes', memory.inputBytes);
}

/** Checked arguments, as a guest gets them. */
export function typedValues(args: readonly JsonValue[]): TypedValue[] {
  return args.flatMap(({ type, value }) => {
    const parsed = parseJsonValue(type, value);
    return parsed.ok ? [parsed.value] : [];
  });
}

/** Bytes of the strings and byte arrays among checked arguments. */
export function payloadBytes(args: readonly JsonValue[]): number {
  let total = 0;
  for (const { type, value } of args)
    if (typeof value === 'string')
      total += type === 'bytes' ? Buffer.byteLength(value, 'base64') : Buffer.byteLength(value);
  return total;
}
