import type { IncomingHttpHeaders } from 'node:http';

/** Whether the `Prefer` header (RFC 7240) asks for an answer before the call has ended. */
export function prefersAsync(headers: IncomingHttpHeaders): boolean {
  const { prefer }: IncomingHttpHeaders & { prefer?: string | string[] } = headers;
  if (prefer === undefined) return false;
  return String(prefer)
    .split(',')
    .some((preference) => preference.split(';')[0]?.trim().toLowerCase() === 'respond-async');
}
