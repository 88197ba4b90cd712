import { isUtf8 } from 'node:buffer';
import { LIMITS, type Manifest } from '@mayfly/contracts';
import { invalidRequest, notFound } from '../errors.js';
import type { AnswerShape } from './call.js';
import { chooseEntrypoint, signatureOf } from './entrypoint.js';
import { checkRoom } from './room.js';

export interface RawCall {
  readonly entrypoint: string;
  readonly takes: 'bytes' | 'string';
  readonly returns: 'bytes' | 'string';
  readonly shape: AnswerShape;
}

/**
 * The entrypoint of `POST /invoke/{fn}`: one that takes one `bytes` or `string` and returns one of both.
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST, MAYFLY_ERR_GATEWAY_NOT_FOUND
 */
export function readRawCall(manifest: Manifest, named: string | undefined): RawCall {
  const entrypoint = chooseEntrypoint(manifest, named, '#entrypoint');
  const signature = signatureOf(manifest, entrypoint);
  if (signature === undefined) throw notFound(`entrypoint ${entrypoint} in the manifest`);
  const { params, returns, contentType } = signature;
  const [takes] = params;
  if (params.length !== 1 || (takes !== 'bytes' && takes !== 'string'))
    throw invalidRequest({
      pointer: '#entrypoint',
      detail: `${entrypoint} takes (${params.join(', ')}); a raw body needs one parameter, bytes or string`,
    });
  if (returns !== 'bytes' && returns !== 'string')
    throw invalidRequest({
      pointer: '#entrypoint',
      detail: `${entrypoint} returns ${returns}; a raw answer needs bytes or string`,
    });
  return { entrypoint, takes, returns, shape: { raw: true, contentType: mediaType(returns, contentType) } };
}

/**
 * A string argument reaches the guest as UTF-8, and a body needs the room of the version's input buffer.
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST, MAYFLY_ERR_GATEWAY_TOO_LARGE
 */
export function checkRawBody(
  { entrypoint, takes, returns }: RawCall,
  body: Buffer,
  manifest: Manifest,
): void {
  if (takes === 'string' && !isUtf8(body))
    throw invalidRequest({ pointer: '', detail: 'expected UTF-8: the entrypoint takes a string' });
  checkRoom(
    {
      entrypoint,
      returns,
      payloadBytes: body.byteLength,
      args: () => [
        takes === 'bytes' ? { type: 'bytes', value: body } : { type: 'string', value: body.toString('utf8') },
      ],
    },
    manifest,
  );
}

/** `timeoutMs` of the query. @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST */
export function readTimeout(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const timeoutMs = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (timeoutMs < 1 || timeoutMs > LIMITS.timeoutMs)
    throw invalidRequest({ pointer: '#timeoutMs', detail: `expected 1 to ${LIMITS.timeoutMs}` });
  return timeoutMs;
}

function mediaType(returns: 'bytes' | 'string', declared: string | undefined): string {
  const type = declared ?? (returns === 'string' ? 'text/plain' : 'application/octet-stream');
  return returns === 'string' ? `${type}; charset=utf-8` : type;
}
