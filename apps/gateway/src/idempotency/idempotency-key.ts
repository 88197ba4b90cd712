import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { keys, LIMITS } from '@mayfly/contracts';
import { invalidRequest } from '../errors.js';

/** What a key belongs to: the same key for another function, or on another route, is another one. */
export interface KeyScope {
  readonly tenant: string;
  readonly route: string;
  readonly function: string;
  /** As it was asked for; `latest` where nothing was. */
  readonly qualifier: string;
}

/** A request that is to be carried out once. */
export interface OnceRequest {
  /** Where Redis keeps what became of it. */
  readonly redisKey: string;
  /** Of the payload: another one under the same key is refused. */
  readonly fingerprint: string;
}

const POINTER = '#idempotency-key';

/**
 * The `Idempotency-Key` of a request (draft-ietf-httpapi-idempotency-key-header-07), bare or as a quoted string.
 * @returns undefined for a request without one
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST for one that is none, or is missing where the function requires it
 */
export function readIdempotencyKey(headers: IncomingHttpHeaders, isRequired: boolean): string | undefined {
  const header = headers['idempotency-key'];
  if (header === undefined) {
    if (isRequired) throw invalidRequest({ pointer: POINTER, detail: 'required by the function’s settings' });
    return undefined;
  }
  const key = String(header).replace(/^"(.*)"$/, '$1');
  if (key.length === 0 || key.length > LIMITS.idempotencyKeyLength || !/^[\x20-\x7e]+$/.test(key))
    throw invalidRequest({
      pointer: POINTER,
      detail: `expected 1 to ${LIMITS.idempotencyKeyLength} printable ASCII characters`,
    });
  return key;
}

/** @param payload in parts; each counts with its place, so that no two payloads run into each other */
export function onceRequest(
  key: string,
  { tenant, route, function: name, qualifier }: KeyScope,
  payload: readonly (string | Uint8Array | undefined)[],
): OnceRequest {
  const scope = JSON.stringify([route, name, qualifier, key]);
  const parts = payload.map((part) => (part === undefined ? '' : hash('sha256', part)));
  return {
    redisKey: keys.idempotency(tenant, hash('sha256', scope)),
    fingerprint: hash('sha256', parts.join(' ')),
  };
}
