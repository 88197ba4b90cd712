import { hash, timingSafeEqual } from 'node:crypto';
import type { Scope } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import { gatewayError } from '../errors.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** Whose key the request showed; set on every route behind `requireKey`. */
    tenant: string;
  }
  interface FastifyContextConfig {
    /** What a key must be able to do for this route; `operator`: only an operator's key will do. */
    scope?: Scope | 'operator';
  }
}

const sha256 = (text: string): Buffer => hash('sha256', text, 'buffer');

/**
 * Every route of this scope wants `Authorization: Bearer <key>`. Keys are compared as hashes, in constant time, so
 * that neither length nor content of the right one shows in the time it takes.
 */
export function requireKey(scope: FastifyInstance, options: { tenant: string; tenantKey: string }): void {
  const expected = sha256(options.tenantKey);
  scope.addHook('onRequest', (request, _reply, done) => {
    const header = request.headers.authorization ?? '';
    const token = /^Bearer +(\S+)$/i.exec(header)?.[1] ?? '';
    if (!timingSafeEqual(sha256(token), expected)) {
      done(gatewayError('MAYFLY_ERR_GATEWAY_UNAUTHORIZED', 'expected Authorization: Bearer <tenant key>'));
      return;
    }
    request.tenant = options.tenant;
    done();
  });
}
