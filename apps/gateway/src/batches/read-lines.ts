import { isUtf8 } from 'node:buffer';
import { LIMITS } from '@mayfly/contracts';
import { gatewayError, invalidRequest, tooLarge } from '../errors.js';

/** One call of a batch as it came: its value, or why there is none. */
export type BatchLine = { readonly value: unknown; readonly bytes: number } | { readonly error: Error };

const NEWLINE = 0x0a;

export interface LineLimits {
  readonly items: number;
  readonly itemBytes: number;
  readonly bodyBytes: number;
}

export const BATCH_LIMITS: LineLimits = {
  items: LIMITS.batchItems,
  itemBytes: LIMITS.batchItemBytes,
  bodyBytes: LIMITS.batchBodyBytes,
};

/**
 * Reads lines of JSON. One that is none, or is too long, is its own error and costs no other; what goes beyond the
 * batch's limits is one last error. Blank lines are no calls.
 */
export async function* readLines(
  source: AsyncIterable<Uint8Array>,
  limits: LineLimits = BATCH_LIMITS,
): AsyncGenerator<BatchLine> {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let bodyBytes = 0;
  let items = 0;
  const take = (last: Buffer): BatchLine | undefined => {
    const lengthBytes = pendingBytes + last.byteLength;
    const line = lengthBytes > limits.itemBytes ? undefined : Buffer.concat([...pending, last]);
    pending = [];
    pendingBytes = 0;
    if (line === undefined) return { error: tooLarge('batchItemBytes', limits.itemBytes) };
    return parseLine(line);
  };
  for await (const bytes of source) {
    let chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    bodyBytes += chunk.byteLength;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE)) {
      const line = take(chunk.subarray(0, end));
      chunk = chunk.subarray(end + 1);
      if (line === undefined) continue;
      if (items === limits.items) {
        yield { error: tooLarge('batchItems', limits.items) };
        return;
      }
      items += 1;
      yield line;
    }
    if (bodyBytes > limits.bodyBytes) {
      yield { error: tooLarge('batchBodyBytes', limits.bodyBytes) };
      return;
    }
    // Of a line that is too long only its length is kept.
    if (pendingBytes <= limits.itemBytes) pending.push(chunk);
    pendingBytes += chunk.byteLength;
  }
  const line = take(Buffer.alloc(0));
  if (line !== undefined)
    yield items === limits.items ? { error: tooLarge('batchItems', limits.items) } : line;
}

/** The items of a JSON array. @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST, MAYFLY_ERR_GATEWAY_TOO_LARGE */
export function readArray(body: unknown, limits: LineLimits = BATCH_LIMITS): BatchLine[] {
  if (!Array.isArray(body)) throw invalidRequest({ pointer: '', detail: 'expected an array of calls' });
  if (body.length > limits.items) throw tooLarge('batchItems', limits.items);
  return body.map((value) => ({ value, bytes: Number.POSITIVE_INFINITY }));
}

function parseLine(line: Buffer): BatchLine | undefined {
  if (!isUtf8(line)) return { error: invalidRequest({ pointer: '', detail: 'expected UTF-8' }) };
  const text = line.toString('utf8').trim();
  if (text === '') return undefined;
  try {
    return { value: JSON.parse(text), bytes: line.byteLength };
  } catch (cause) {
    return {
      error: gatewayError('MAYFLY_ERR_GATEWAY_INVALID_REQUEST', 'expected JSON', {
        cause,
        details: { errors: [{ pointer: '', detail: 'expected JSON' }] },
      }),
    };
  }
}
