import { hash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { gatewayError } from './errors.js';

/** Of a state, by its content: the same content again has the same tag. */
export function etagOf(state: unknown): string {
  return `"${hash('sha256', JSON.stringify(state), 'hex').slice(0, 32)}"`;
}

/**
 * Whether a change may be made of what now has this tag (RFC 9110 13.1.1); no `If-Match` takes whatever is there.
 * @throws MAYFLY_ERR_GATEWAY_PRECONDITION
 */
export function checkIfMatch({ headers }: FastifyRequest, etag: string): void {
  const wanted = headers['if-match'];
  if (wanted === undefined || wanted.trim() === '*') return;
  if (wanted.split(',').some((tag) => tag.trim() === etag)) return;
  throw gatewayError('MAYFLY_ERR_GATEWAY_PRECONDITION', `the present state is ${etag}`);
}
