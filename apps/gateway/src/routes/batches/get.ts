import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { BatchStore } from '../../batches/batch-store.js';
import { notFound } from '../../errors.js';
import { describeInvocation } from '../../invocations/describe.js';
import { tagged } from '../../invocations/etag.js';
import { mayTouch } from '../../plugins/auth.js';
import { BatchSchema } from '../../schemas/batch.js';
import { BatchParams, NotModified, problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';

const READ_AT_ONCE = 100;

/** `GET /v1/batches/{id}`: how far a batch that was accepted is. */
export function getBatchRoute(scope: FastifyInstance, services: Services): void {
  const batches = new BatchStore(services.redis);
  scope.get<{ Params: Static<typeof BatchParams> }>(
    '/v1/batches/:id',
    {
      config: { scope: 'invocation:read', pattern: 'handler' },
      schema: {
        summary: 'Show a batch',
        description: 'Of a batch with `Prefer: respond-async`; one that was waited for has none.',
        params: BatchParams,
        response: { 200: BatchSchema, 304: NotModified, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { tenant, params } = request;
      const batch = await batches.find(tenant, params.id);
      if (batch === undefined || !mayTouch(request, batch.function)) throw notFound(`batch ${params.id}`);
      const { batchId, createdAtMs, invocationIds, refused } = batch;
      const counts: Record<string, number> = {};
      let pending = 0;
      for (const known of await findInPages(services, tenant, invocationIds)) {
        const state = known?.ended === undefined ? undefined : describeInvocation(known, false)?.state;
        // One that was forgotten has ended: no other can be.
        if (known === undefined) counts['forgotten'] = (counts['forgotten'] ?? 0) + 1;
        else if (state === undefined) pending += 1;
        else counts[state] = (counts[state] ?? 0) + 1;
      }
      const view = {
        batchId,
        function: batch.function,
        createdAtMs,
        total: invocationIds.length,
        ...{ refused, pending, counts, done: pending === 0 },
        invocationIds: [...invocationIds],
        links: { self: `/v1/batches/${batchId}` },
      };
      return tagged(request, reply, JSON.stringify(view)) ? reply.code(304).send() : view;
    },
  );
}

/** Some at a time, so that nobody else of Redis waits for long. */
async function findInPages({ store }: Services, tenant: string, invocationIds: readonly string[]) {
  const found: Awaited<ReturnType<typeof store.findAll>> = [];
  for (let from = 0; from < invocationIds.length; from += READ_AT_ONCE)
    found.push(...(await store.findAll(tenant, invocationIds.slice(from, from + READ_AT_ONCE))));
  return found;
}
