import { gatewayError, invalidRequest } from '../errors.js';

/**
 * The sha-256 (hex) of a `Content-Digest` header (RFC 9530), if it has one; other algorithms are ignored.
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST for a header that is no such dictionary
 */
export function parseContentDigest(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  let sha256: string | undefined;
  for (const member of String(header).split(',')) {
    const match = /^\s*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):\s*$/.exec(member);
    const bytes = Buffer.from(match?.[2] ?? '', 'base64');
    if (match === null || (match[1] === 'sha-256' && bytes.byteLength !== 32))
      throw invalidRequest({ pointer: '#Content-Digest', detail: 'expected sha-256=:<base64>:' });
    if (match[1] === 'sha-256') sha256 = bytes.toString('hex');
  }
  return sha256;
}

/** @throws MAYFLY_ERR_GATEWAY_DIGEST_MISMATCH when none of the hashes is the expected one. */
export function checkDigest(expected: string | undefined, ...found: readonly string[]): void {
  if (expected !== undefined && !found.includes(expected))
    throw gatewayError('MAYFLY_ERR_GATEWAY_DIGEST_MISMATCH', `the content has sha-256 ${found[0]}`);
}
