import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { notFound } from '../../errors.js';
import { describeInvocation } from '../../invocations/describe.js';
import { tagged } from '../../invocations/etag.js';
import { InvocationSchema } from '../../schemas/invocation.js';
import { InvocationParams, NotModified, problems, WaitHeaders } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { waitForInvocation } from './find.js';

/** `GET /v1/invocations/{id}`: the record, whatever became of the call. */
export function getRoute(scope: FastifyInstance, services: Services): void {
  scope.get<{ Params: Static<typeof InvocationParams> }>(
    '/v1/invocations/:id',
    {
      config: { scope: 'invocation:read', pattern: 'handler' },
      schema: {
        summary: 'Show an invocation',
        description: 'With `Prefer: wait=N` once it has ended, or after N seconds as it is then.',
        params: InvocationParams,
        headers: WaitHeaders,
        response: { 200: InvocationSchema, 304: NotModified, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { known, running, run } = await waitForInvocation(services, request, reply);
      const described = describeInvocation(known, running, run);
      const view = described && {
        ...described,
        ...(known.accepted?.callback && {
          callback: await services.callbacks.stateOf(request.tenant, request.params.id),
        }),
      };
      if (view === undefined) throw notFound(`invocation ${request.params.id}`);
      return tagged(request, reply, JSON.stringify(view)) ? reply.code(304).send() : view;
    },
  );
}
