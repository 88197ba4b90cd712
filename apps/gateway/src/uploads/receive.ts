import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { MultipartFile, MultipartValue } from '@fastify/multipart';
import type { BlobStore, StoredBlob } from '@mayfly/blobs';
import { isMayflyError, LIMITS } from '@mayfly/contracts';
import type { FastifyRequest } from 'fastify';
import { invalidRequest, tooLarge } from '../errors.js';
import { checkDigest, parseContentDigest } from './content-digest.js';
import { MANIFEST_BYTES } from './manifest.js';

export interface ReceivedUpload {
  readonly binary: StoredBlob;
  readonly manifestText?: string;
}

/** Room for both parts, their headers and what a client may add that is then refused by name. */
export const MULTIPART_LIMITS = {
  fieldSize: MANIFEST_BYTES,
  // The blob store counts, and says which limit it was; this one only has to be further away.
  fileSize: LIMITS.artifactBytes + 1,
  fields: 4,
  files: 4,
  parts: 4,
  headerPairs: 32,
} as const;

/**
 * Streams an upload's binary to the blob store and reads its manifest, in whichever order they come. After an error
 * nothing of the upload is kept.
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST, …_DIGEST_MISMATCH, …_TOO_LARGE, and what the blob store throws
 */
export async function receiveUpload(
  request: FastifyRequest,
  blobs: BlobStore,
  tenant: string,
): Promise<ReceivedUpload> {
  const expected = parseContentDigest(request.headers['content-digest']);
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > LIMITS.artifactBytes + 2 * MANIFEST_BYTES)
    throw tooLarge('artifactBytes', LIMITS.artifactBytes);
  const received: { binary?: StoredBlob; manifestText?: string } = {};
  try {
    if (request.isMultipart()) await receiveParts(request, { received, expected, blobs, tenant });
    else received.binary = await putBinary(blobs, tenant, request.body as Readable);
    const { binary } = received;
    if (binary === undefined) throw missing('binary');
    if (!request.isMultipart()) checkDigest(expected, binary.sha256);
    return { binary, ...(received.manifestText !== undefined && { manifestText: received.manifestText }) };
  } catch (error) {
    await discard(blobs, tenant, received.binary);
    // What the client still sends is read and dropped, so that it comes to read the answer.
    request.raw.unpipe();
    request.raw.resume();
    throw isBrokenStream(error)
      ? invalidRequest({ pointer: '', detail: 'the body ends too early or is no multipart/form-data' })
      : error;
  }
}

/** Deletes the binary of an upload that came to nothing, unless another upload has the same. */
export async function discard(
  blobs: BlobStore,
  tenant: string,
  binary: StoredBlob | undefined,
): Promise<void> {
  if (binary !== undefined) await blobs.discard(tenant, binary).catch(() => undefined);
}

interface PartsContext {
  readonly received: { binary?: StoredBlob; manifestText?: string };
  readonly expected: string | undefined;
  readonly blobs: BlobStore;
  readonly tenant: string;
}

async function receiveParts(request: FastifyRequest, context: PartsContext): Promise<void> {
  const { received, expected, blobs, tenant } = context;
  const content = createHash('sha256');
  // Beside the parser, which pipes the same stream in the same tick: both see every byte.
  if (expected !== undefined) request.raw.on('data', (chunk: Buffer) => content.update(chunk));
  for await (const part of request.parts({ limits: MULTIPART_LIMITS })) {
    const name = part.fieldname;
    if (name !== 'binary' && name !== 'manifest')
      throw invalidRequest({
        pointer: `/${name.slice(0, 64)}`,
        detail: 'expected the parts binary and manifest',
      });
    if ((name === 'binary' ? received.binary : received.manifestText) !== undefined)
      throw invalidRequest({ pointer: `/${name}`, detail: 'expected one such part' });
    if (name === 'manifest') received.manifestText = await readManifest(part);
    else if (part.type === 'file') received.binary = await putBinary(blobs, tenant, part.file);
    else throw invalidRequest({ pointer: '/binary', detail: 'expected a file part (with a filename)' });
  }
  if (received.binary !== undefined && expected !== undefined)
    // RFC 9530 digests the whole content; a digest of the binary alone says as much of what matters.
    checkDigest(expected, content.digest('hex'), received.binary.sha256);
}

async function putBinary(blobs: BlobStore, tenant: string, source: Readable): Promise<StoredBlob> {
  try {
    return await blobs.putStream(tenant, source, { limitBytes: LIMITS.artifactBytes });
  } catch (error) {
    if (isMayflyError(error, 'MAYFLY_ERR_BLOB_TOO_LARGE'))
      throw tooLarge('artifactBytes', LIMITS.artifactBytes);
    throw error;
  }
}

async function readManifest(part: MultipartFile | MultipartValue): Promise<string> {
  if (part.type === 'field') {
    if (part.valueTruncated) throw tooLarge('manifestBytes', MANIFEST_BYTES);
    return typeof part.value === 'string' ? part.value : JSON.stringify(part.value);
  }
  const chunks: Buffer[] = [];
  let lengthBytes = 0;
  for await (const chunk of part.file as AsyncIterable<Buffer>) {
    lengthBytes += chunk.byteLength;
    if (lengthBytes > MANIFEST_BYTES) throw tooLarge('manifestBytes', MANIFEST_BYTES);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Parser and stream report what the sender did wrong as plain errors. */
function isBrokenStream(error: unknown): boolean {
  return (
    !isMayflyError(error) && !(error instanceof TypeError) && !Object.hasOwn(error as object, 'statusCode')
  );
}

function missing(part: string) {
  return invalidRequest({ pointer: `/${part}`, detail: 'the part is missing' });
}
