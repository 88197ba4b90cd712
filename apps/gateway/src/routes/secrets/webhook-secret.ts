import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { notFound } from '../../errors.js';
import { problems } from '../../schemas/shared.js';
import {
  DEFAULT_OVERLAP_MS,
  NewWebhookSecret,
  RotateBody,
  WebhookSecretSchema,
} from '../../schemas/webhook-secret.js';
import type { Services } from '../../services.js';

const config = { scope: 'secret:write' } as const;

/** `/v1/webhook-secret`: what the tenant's completion callbacks are signed with. */
export function webhookSecretRoutes(scope: FastifyInstance, { webhookSecrets, audit }: Services): void {
  scope.post<{ Body: Static<typeof RotateBody> | undefined }>(
    '/v1/webhook-secret',
    {
      config,
      schema: {
        summary: 'Make a new secret that callbacks are signed with',
        description:
          'The answer shows it, this once. The one before signs beside it for `overlapMs`, so that receivers can change over.',
        body: RotateBody,
        response: { 201: NewWebhookSecret, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { tenant, body } = request;
      const { secret, info } = await webhookSecrets.rotate(tenant, body?.overlapMs ?? DEFAULT_OVERLAP_MS);
      await audit.record(request, { action: 'webhook-secret.rotate', tenant, target: tenant, after: info });
      return reply
        .code(201)
        .header('cache-control', 'no-store')
        .send({ secret, ...info });
    },
  );

  scope.get(
    '/v1/webhook-secret',
    {
      config,
      schema: {
        summary: 'Show since when callbacks are signed with what they are',
        response: { 200: WebhookSecretSchema, ...problems('4XX', '5XX') },
      },
    },
    async (request) => {
      const info = await webhookSecrets.find(request.tenant);
      if (info === undefined) throw notFound('webhook secret');
      return { ...info };
    },
  );
}
