import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { orUnavailable } from '../../redis.js';
import { problems } from '../../schemas/shared.js';
import { QuotasSchema } from '../../schemas/tenant.js';
import type { Services } from '../../services.js';

const QuotaSchema = Type.Object({
  tenant: Type.String(),
  paused: Type.Boolean(),
  quotas: QuotasSchema,
  inUse: Type.Object({
    inFlight: Type.Integer({ description: 'Sync calls that have not ended' }),
    running: Type.Integer({ description: 'Calls that run' }),
    queued: Type.Integer({ description: 'Calls that wait for their turn' }),
    queuedBytes: Type.Integer(),
    functions: Type.Integer(),
    storedBytes: Type.Integer(),
  }),
});

/** `GET /v1/quota`: what the caller's tenant may use, and uses now. */
export function quotaRoute(scope: FastifyInstance, { policies, registry, gate }: Services): void {
  scope.get(
    '/v1/quota',
    {
      config: { scope: 'any', pattern: 'none' },
      schema: {
        summary: 'Quotas and what is in use',
        response: { 200: QuotaSchema, ...problems('4XX', '5XX') },
      },
    },
    async ({ tenant }) => {
      const { quotas, isPaused } = policies.of(tenant);
      const [calls, stored] = await Promise.all([orUnavailable(gate.inUse(tenant)), registry.stored(tenant)]);
      return { tenant, paused: isPaused, quotas, inUse: { ...calls, ...stored } };
    },
  );
}
