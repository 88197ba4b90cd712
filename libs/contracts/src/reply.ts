import type { InvocationRecord } from './record.js';

/**
 * Frames on the gateway's reply socket, little-endian: u32 length of the rest, 16 bytes reply token, u32 length of the
 * record, the record as JSON, then the result's bytes (for a `string` or `bytes` result that is not inside the record;
 * else none).
 */
const HEADER_BYTES = 4 + 16 + 4;
/** Ceiling of one frame: a result of `LIMITS.resultBytes` and its record fit. */
export const MAX_FRAME_BYTES = 16 * 1024 * 1024;

export interface Reply {
  /** 32 hex digits. */
  readonly token: string;
  readonly record: InvocationRecord;
  /** UTF-8 of a string result or the bytes of a bytes result that is not inside the record; empty otherwise. */
  readonly body: Uint8Array;
}

export function encodeReply(reply: Reply): Buffer {
  return encodeReplyFrame(reply.token, JSON.stringify(reply.record), reply.body);
}

/** As `encodeReply`, for a record that is JSON already. */
export function encodeReplyFrame(token: string, recordJson: string, body: Uint8Array): Buffer {
  const recordBytes = Buffer.byteLength(recordJson, 'utf8');
  const frame = Buffer.allocUnsafe(HEADER_BYTES + recordBytes + body.byteLength);
  frame.writeUInt32LE(frame.byteLength - 4, 0);
  frame.write(token, 4, 16, 'hex');
  frame.writeUInt32LE(recordBytes, 20);
  frame.write(recordJson, HEADER_BYTES, recordBytes, 'utf8');
  frame.set(body, HEADER_BYTES + recordBytes);
  return frame;
}

/** Splits a byte stream into replies. Throws on a frame that cannot be one; the connection is then closed. */
export class ReplyDecoder {
  #chunks: Buffer[] = [];
  #pendingBytes = 0;
  /** Bytes that the next frame needs before it can be looked at; spares a large frame repeated copying. */
  #neededBytes = 4;

  push(chunk: Buffer): Reply[] {
    this.#chunks.push(chunk);
    this.#pendingBytes += chunk.byteLength;
    if (this.#pendingBytes < this.#neededBytes) return [];
    const pending = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    const replies: Reply[] = [];
    let offset = 0;
    this.#neededBytes = 4;
    while (pending.byteLength - offset >= 4) {
      const length = pending.readUInt32LE(offset);
      if (length < HEADER_BYTES - 4 || length > MAX_FRAME_BYTES)
        throw new RangeError(`reply frame of ${length} bytes`);
      if (pending.byteLength - offset < 4 + length) {
        this.#neededBytes = 4 + length;
        break;
      }
      replies.push(parseFrame(pending.subarray(offset + 4, offset + 4 + length)));
      offset += 4 + length;
    }
    const rest = pending.subarray(offset);
    this.#chunks = rest.byteLength === 0 ? [] : [rest];
    this.#pendingBytes = rest.byteLength;
    return replies;
  }
}

function parseFrame(frame: Buffer): Reply {
  const recordBytes = frame.readUInt32LE(16);
  if (recordBytes > frame.byteLength - 20) throw new RangeError(`reply record of ${recordBytes} bytes`);
  return {
    token: frame.toString('hex', 0, 16),
    record: JSON.parse(frame.toString('utf8', 20, 20 + recordBytes)) as InvocationRecord,
    // A copy, so that one large reply does not keep the whole receive buffer alive.
    body: Buffer.from(frame.subarray(20 + recordBytes)),
  };
}
