import { DEFAULT_MEMORY, LIMITS } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';

/** `GET /v1/limits`: what the caller may ask for. */
export function limitsRoute(scope: FastifyInstance, { config }: Services): void {
  const { maxInFlight, tenantMaxInFlight, maxQueueDepth } = config;
  const limits = {
    limits: { ...LIMITS, maxInFlight, tenantMaxInFlight, maxQueueDepth },
    defaults: { memory: DEFAULT_MEMORY, timeoutMs: LIMITS.defaultTimeoutMs },
  };
  const Numbers = Type.Record(Type.String(), Type.Number());
  const Limits = Type.Object({
    limits: Numbers,
    defaults: Type.Object({ memory: Numbers, timeoutMs: Type.Number() }),
  });
  scope.get(
    '/v1/limits',
    {
      config: { scope: 'any', pattern: 'none' },
      schema: { summary: 'Effective limits', response: { 200: Limits, ...problems('4XX') } },
    },
    () => limits,
  );
}
