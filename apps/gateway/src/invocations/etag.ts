import { hash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** The entity tag of what a GET answers (RFC 9110, 8.8.3). */
export function entityTag(body: string | Uint8Array): string {
  return `"${hash('sha256', body, 'base64url').slice(0, 22)}"`;
}

/**
 * Marks the answer with its tag.
 * @returns whether the client has it already: 304 is to be sent, without a body.
 */
export function tagged(request: FastifyRequest, reply: FastifyReply, body: string | Uint8Array): boolean {
  const tag = entityTag(body);
  reply.header('etag', tag);
  const known = request.headers['if-none-match'];
  if (known === undefined) return false;
  return known === '*' || known.split(',').some((text) => text.trim().replace(/^W\//, '') === tag);
}
