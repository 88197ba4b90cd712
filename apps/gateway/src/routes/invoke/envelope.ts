import { LIMITS } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import { readOnce } from '../../idempotency/read-once.js';
import { readPreferences } from '../../invocations/prefer.js';
import { InvocationSchema } from '../../schemas/invocation.js';
import { InvokeAnswer, type InvokeBody, InvokeBodySchema } from '../../schemas/invoke.js';
import { problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { prepareEnvelope } from './prepare-envelope.js';
import { respond } from './respond.js';

/** `POST /invoke`: typed arguments in, a typed result out. */
export function envelopeRoute(scope: FastifyInstance, services: Services): void {
  scope.post<{ Body: InvokeBody }>(
    '/invoke',
    {
      config: { scope: 'function:invoke' },
      bodyLimit: LIMITS.invocationBodyBytes,
      schema: {
        summary: 'Invoke a function',
        description:
          'Answers when the call has ended. With `Prefer: respond-async` once it is queued; with `Prefer: respond-async, wait=N` when it has ended or after N seconds, whichever comes first.',
        body: InvokeBodySchema,
        response: { 200: InvokeAnswer, 202: InvocationSchema, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { body, headers } = request;
      services.invoker.checkOpen();
      const preferences = readPreferences(headers);
      const { call, qualifier, settings } = await prepareEnvelope(services, {
        ...{ tenant: request.tenant, headers, body, trace: request.trace },
        // A body without a length (chunked) is measured when its arguments are.
        bodyBytes: Number(headers['content-length'] ?? Number.POSITIVE_INFINITY),
        durable: preferences.respondAsync,
        signalOf: () => request.signal,
      });
      const once = readOnce(request, {
        ...{ route: '/invoke', name: body.function, qualifier, settings },
        payload: () => [JSON.stringify(body)],
      });
      return respond({ request, reply, services }, { call, preferences, once });
    },
  );
}
