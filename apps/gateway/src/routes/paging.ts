import type { FastifyReply } from 'fastify';
import { invalidRequest } from '../errors.js';

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;

export interface PageQueryValues {
  readonly limit?: string;
  readonly cursor?: string;
}

export interface Page {
  readonly limit: number;
  /** What the page before ended with. */
  readonly after: string | undefined;
}

/** @param isPlace whether a text can be what a page ends with. @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST */
export function readPage(query: PageQueryValues, isPlace: (text: string) => boolean): Page {
  const limit = Number(query.limit ?? DEFAULT_LIMIT);
  if (limit > MAX_LIMIT) throw invalidRequest({ pointer: '#limit', detail: `expected 1 to ${MAX_LIMIT}` });
  if (query.cursor === undefined) return { limit, after: undefined };
  const after = Buffer.from(query.cursor, 'base64url').toString('utf8');
  if (!isPlace(after)) throw invalidRequest({ pointer: '#cursor', detail: 'expected a nextCursor' });
  return { limit, after };
}

/** The cursor of the next page, and the link to it. @param last what this page ends with */
export function nextPage(reply: FastifyReply, path: string, { limit }: Page, last: string): string {
  const nextCursor = Buffer.from(last).toString('base64url');
  reply.header('link', `<${path}?limit=${limit}&cursor=${nextCursor}>; rel="next"`);
  return nextCursor;
}
