import { LIMITS } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import { readOnce } from '../../idempotency/read-once.js';
import { checkMemory, timeoutOf } from '../../invocations/call-limits.js';
import { qualifierOf, readEnvelope } from '../../invocations/envelope.js';
import { givenToGuest } from '../../invocations/given-to-guest.js';
import { inputOfArguments } from '../../invocations/input.js';
import { readPreferences } from '../../invocations/prefer.js';
import { resolveVersion } from '../../invocations/resolve-version.js';
import { InvocationSchema } from '../../schemas/invocation.js';
import { InvokeAnswer, type InvokeBody, InvokeBodySchema } from '../../schemas/invoke.js';
import { problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { respond } from './respond.js';

/** `POST /invoke`: typed arguments in, a typed result out. */
export function envelopeRoute(scope: FastifyInstance, services: Services): void {
  const { cache, blobs } = services;
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
      const { body, tenant, headers } = request;
      services.invoker.checkOpen();
      const name = body.function;
      const resolved = await resolveVersion(cache, { tenant, name, ...qualifierOf(body), headers });
      const { version, alias } = resolved;
      const { quotas } = services.policies.of(tenant);
      const { entrypoint, args, returns } = readEnvelope(body, version.manifest);
      const timeoutMs = timeoutOf(resolved, quotas, body.timeoutMs, '/timeoutMs');
      checkMemory(resolved, quotas);
      const preferences = readPreferences(headers);
      const once = readOnce(request, {
        ...{ route: '/invoke', name, qualifier: qualifierOf(body), settings: resolved.settings },
        payload: () => [JSON.stringify(body)],
      });
      // A body without a length (chunked) is measured when its arguments are.
      const bodyBytes = Number(headers['content-length'] ?? Number.POSITIVE_INFINITY);
      const prepared = await inputOfArguments(args, bodyBytes, {
        tenant,
        blobs,
        durable: preferences.respondAsync,
      });
      const given = givenToGuest(services.secretGrants, tenant, resolved.settings);
      const ref = services.registry.refOf(tenant, name, version);
      return respond(
        { request, reply, services },
        {
          call: {
            ref,
            alias,
            entrypoint,
            ...prepared,
            returns,
            timeoutMs,
            shape: { raw: false },
            given: given instanceof Promise ? await given : given,
            trace: request.trace,
          },
          preferences,
          once,
        },
      );
    },
  );
}
