import { isDeepStrictEqual } from 'node:util';
import { type Reply, ReplyDecoder } from '@mayfly/contracts';
import { type FuzzTarget, must } from '../target.js';

/**
 * Frames on the gateway's reply socket, once in one piece and once in pieces whose sizes the input's first byte
 * gives: how a stream is cut must change nothing. RangeError and SyntaxError are the refusals; the reply server
 * closes the connection on them.
 */
export const replyTarget: FuzzTarget = {
  name: 'reply',
  format: 'bytes',
  run: (input) => {
    const stream = Buffer.from(input.subarray(1));
    const whole = decode(stream, stream.byteLength);
    const cut = decode(stream, 1 + ((input[0] ?? 0) % 64));
    // The frames before a bad one count only if they came in an earlier piece.
    must(
      isDeepStrictEqual(whole.replies, cut.replies.slice(0, whole.replies.length)),
      'pieces give other replies',
    );
    must(cut.refusal === whole.refusal, `pieces end in ${cut.refusal}, the whole in ${whole.refusal}`);
    if (whole.refusal === undefined)
      must(cut.replies.length === whole.replies.length, 'pieces give more replies');
    return `${whole.replies.length} replies, ${whole.refusal?.replaceAll(/\d+/g, '#')}`;
  },
};

function decode(stream: Buffer, pieceBytes: number): { replies: Reply[]; refusal?: string } {
  const decoder = new ReplyDecoder();
  const replies: Reply[] = [];
  try {
    for (let at = 0; at < stream.byteLength; at += pieceBytes)
      replies.push(...decoder.push(stream.subarray(at, at + pieceBytes)));
    return { replies };
  } catch (error) {
    if (error instanceof RangeError) return { replies, refusal: error.message };
    if (error instanceof SyntaxError) return { replies, refusal: 'no JSON' };
    throw error;
  }
}
