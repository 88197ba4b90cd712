import type { BlobStore } from '@mayfly/blobs';
import { type InvocationInput, type JsonValue, LIMITS } from '@mayfly/contracts';

export interface PreparedInput {
  readonly input: InvocationInput;
  /** About what it takes in the job. */
  readonly inputBytes: number;
}

export interface InputOptions {
  readonly tenant: string;
  readonly blobs: BlobStore;
  /** Whether the input has to survive a power loss: an accepted call has, one that is waited for has not. */
  readonly durable: boolean;
}

/** Typed arguments: inside the job while they are small, else in the blob store. `bodyBytes` bounds their size. */
export async function inputOfArguments(
  args: readonly JsonValue[],
  bodyBytes: number,
  options: InputOptions,
): Promise<PreparedInput> {
  if (bodyBytes <= LIMITS.inlineBytes) return { input: { kind: 'args', args }, inputBytes: bodyBytes };
  const bytes = Buffer.from(JSON.stringify(args), 'utf8');
  if (bytes.byteLength <= LIMITS.inlineBytes)
    return { input: { kind: 'args', args }, inputBytes: bytes.byteLength };
  return inputOfBlob('args', bytes, options);
}

/** A raw body that becomes the one argument of the entrypoint. */
export async function inputOfBody(
  as: 'bytes' | 'string',
  bytes: Buffer,
  options: InputOptions,
): Promise<PreparedInput> {
  if (bytes.byteLength <= LIMITS.inlineBytes) {
    const base64 = bytes.toString('base64');
    return { input: { kind: 'body', as, base64 }, inputBytes: base64.length };
  }
  return inputOfBlob(as, bytes, options);
}

async function inputOfBlob(
  of: 'args' | 'bytes' | 'string',
  bytes: Buffer,
  { tenant, blobs, durable }: InputOptions,
): Promise<PreparedInput> {
  const { sha256, lengthBytes } = await blobs.put(tenant, bytes, { durable });
  return { input: { kind: 'blob', of, sha256, lengthBytes }, inputBytes: 0 };
}
