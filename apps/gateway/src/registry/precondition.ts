import type { IncomingHttpHeaders } from 'node:http';
import { gatewayError, invalidRequest } from '../errors.js';

/**
 * What must hold for a change: nothing is there yet (`absent`), whatever (`any`), or one of these revisions. A change
 * of what is there needs to say so; see `unstated`.
 */
export type Precondition = 'unstated' | 'absent' | 'any' | readonly number[];

const ETAG = /^"(\d{1,15})"$/;

export const etagOf = (revision: number): string => `"${revision}"`;

/**
 * `If-Match` and `If-None-Match: *` (RFC 9110, 13.1). A weak or foreign tag matches nothing.
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST
 */
export function preconditionOf(headers: IncomingHttpHeaders): Precondition {
  const match = headers['if-match'];
  const noneMatch = headers['if-none-match'];
  if (match !== undefined && noneMatch !== undefined)
    throw invalidRequest({ pointer: '#if-match', detail: 'expected one of If-Match and If-None-Match' });
  if (noneMatch !== undefined) {
    if (noneMatch.trim() !== '*') throw invalidRequest({ pointer: '#if-none-match', detail: 'expected *' });
    return 'absent';
  }
  if (match === undefined) return 'unstated';
  if (match.trim() === '*') return 'any';
  return match.split(',').flatMap((tag) => {
    const [, revision] = ETAG.exec(tag.trim()) ?? [];
    return revision === undefined ? [] : [Number(revision)];
  });
}

/** Whether a reader has this revision already. */
export function isKnown(headers: IncomingHttpHeaders, revision: number): boolean {
  const tags = headers['if-none-match']?.split(',').map((tag) => tag.trim()) ?? [];
  return tags.includes(etagOf(revision));
}

export function preconditionFailed(current: number) {
  const what = current === 0 ? 'there is nothing yet' : `it has the ETag ${etagOf(current)}`;
  return gatewayError('MAYFLY_ERR_GATEWAY_PRECONDITION', `the precondition does not hold: ${what}`);
}

export function preconditionRequired() {
  return gatewayError(
    'MAYFLY_ERR_GATEWAY_PRECONDITION_REQUIRED',
    'this changes what is there: say which by If-Match, or * for whatever it is',
  );
}
