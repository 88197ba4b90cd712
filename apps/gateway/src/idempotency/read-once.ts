import { type FunctionSettings, LATEST } from '@mayfly/contracts';
import type { FastifyRequest } from 'fastify';
import type { Qualifier } from '../invocations/qualifier.js';
import { type OnceRequest, onceRequest, readIdempotencyKey } from './idempotency-key.js';

export interface OnceOptions {
  readonly route: string;
  readonly name: string;
  /** As the request names it: which version it leads to may change between two tries. */
  readonly qualifier: Qualifier;
  readonly settings: FunctionSettings;
  /** What makes the request this one, beside its media type; asked for only where there is a key. */
  readonly payload: () => readonly (string | Uint8Array | undefined)[];
}

/** @returns undefined for a request that came without an `Idempotency-Key`. */
export function readOnce(request: FastifyRequest, options: OnceOptions): OnceRequest | undefined {
  const { headers, tenant } = request;
  const key = readIdempotencyKey(headers, options.settings.requireIdempotencyKey);
  if (key === undefined) return undefined;
  const { route, name, payload } = options;
  const { version, alias = LATEST } = options.qualifier;
  const qualifier = String(version ?? alias);
  return onceRequest(key, { tenant, route, function: name, qualifier }, [
    headers['content-type'],
    ...payload(),
  ]);
}
