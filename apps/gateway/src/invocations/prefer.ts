import type { IncomingHttpHeaders } from 'node:http';
import { LIMITS } from '@mayfly/contracts';
import { invalidRequest } from '../errors.js';

/** What a client prefers (RFC 7240), as far as this API knows it. */
export interface Preferences {
  /** Wants an answer before the call has ended. */
  readonly respondAsync: boolean;
  /** Wants to wait so long for the end, in milliseconds; at most `LIMITS.preferWaitMs`. Absent: says nothing. */
  readonly waitMs?: number;
}

/** Of a header; what is beyond it says nothing. */
const MAX_LENGTH = 1_024;
const NONE: Preferences = { respondAsync: false };
/** One preference: a token, with a value perhaps, and parameters, which none of ours has. */
const PREFERENCE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*))?\s*(?:;.*)?$/;

/**
 * Reads `Prefer`. What is not known, or has no value that it could have, is left out, as the RFC wants; with
 * `handling=strict` it is refused. Of a preference that comes twice the first one counts.
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST
 */
export function readPreferences(headers: IncomingHttpHeaders): Preferences {
  const { prefer }: IncomingHttpHeaders & { prefer?: string | string[] } = headers;
  if (prefer === undefined) return NONE;
  const values = new Map<string, string>();
  const unknown: string[] = [];
  // A comma inside of quotes separates nothing.
  for (const part of String(prefer)
    .slice(0, MAX_LENGTH)
    .match(/(?:"(?:[^"\\]|\\.)*"|[^,])+/g) ?? []) {
    const text = part.trim();
    if (text === '') continue;
    const [, name, value = ''] = PREFERENCE.exec(text) ?? [];
    if (name === undefined) unknown.push(text);
    else if (!values.has(name.toLowerCase()))
      values.set(name.toLowerCase(), value.replace(/^"(.*)"$/, '$1').toLowerCase());
  }
  const waitMs = readWait(values.get('wait'));
  for (const [name, value] of values) if (!isKnown(name, value, waitMs)) unknown.push(name);
  if (unknown.length > 0 && values.get('handling') === 'strict')
    throw invalidRequest(
      ...unknown.map((text) => ({ pointer: '#prefer', detail: `${text.slice(0, 64)} cannot be kept to` })),
    );
  return { respondAsync: values.has('respond-async'), ...(waitMs !== undefined && { waitMs }) };
}

/** What `Preference-Applied` says of a wait. */
export function appliedWait(waitMs: number): string {
  return `wait=${waitMs / 1000}`;
}

/** Seconds, as the RFC has them. */
function readWait(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,9}$/.test(text)) return undefined;
  return Math.min(Number(text) * 1000, LIMITS.preferWaitMs);
}

function isKnown(name: string, value: string, waitMs: number | undefined): boolean {
  if (name === 'respond-async') return true;
  if (name === 'wait') return waitMs !== undefined;
  return name === 'handling' && (value === 'strict' || value === 'lenient');
}
