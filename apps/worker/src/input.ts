import { isUtf8 } from 'node:buffer';
import type { BlobStore } from '@mayfly/blobs';
import {
  type InvocationInput,
  type JsonValue,
  LIMITS,
  parseJsonValue,
  type TypedValue,
} from '@mayfly/contracts';
import { workerError } from './errors.js';
import { isArgument } from './job-parser.js';

/** JSON of arguments is larger than the body it came from by no more than base64 and escapes can make it. */
const MAX_INPUT_BLOB_BYTES = 4 * LIMITS.invocationBodyBytes;

/**
 * The arguments that a guest gets.
 * @throws MAYFLY_ERR_JOB_MALFORMED, and the blob store's errors. The gateway has checked what the caller sent, so
 * these are host faults.
 */
export function decodeInput(
  input: InvocationInput,
  tenant: string,
  blobs: Pick<BlobStore, 'get'>,
): TypedValue[] | Promise<TypedValue[]> {
  switch (input.kind) {
    case 'args':
      return input.args.map(decodeArgument);
    case 'body':
      return [decodeBody(input.as, Buffer.from(input.base64, 'base64'))];
    case 'blob':
      return blobs
        .get(tenant, input.sha256, { limitBytes: MAX_INPUT_BLOB_BYTES })
        .then((bytes) => (input.of === 'args' ? decodeArguments(bytes) : [decodeBody(input.of, bytes)]));
  }
}

function decodeArguments(bytes: Buffer): TypedValue[] {
  let args: unknown;
  try {
    args = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw workerError('MAYFLY_ERR_JOB_MALFORMED', 'the arguments are not JSON', { cause });
  }
  if (!Array.isArray(args) || args.length > LIMITS.parameters || !args.every(isArgument))
    throw workerError('MAYFLY_ERR_JOB_MALFORMED', 'expected typed arguments');
  return (args as JsonValue[]).map(decodeArgument);
}

function decodeArgument({ type, value }: JsonValue, index: number): TypedValue {
  const parsed = parseJsonValue(type, value);
  if (parsed.ok) return parsed.value;
  throw workerError('MAYFLY_ERR_JOB_MALFORMED', `argument ${index}: ${parsed.detail}`);
}

function decodeBody(as: 'bytes' | 'string', bytes: Buffer): TypedValue {
  if (as === 'bytes') return { type: 'bytes', value: bytes };
  if (!isUtf8(bytes)) throw workerError('MAYFLY_ERR_JOB_MALFORMED', 'the body is not UTF-8');
  return { type: 'string', value: bytes.toString('utf8') };
}
