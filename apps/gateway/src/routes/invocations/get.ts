import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { notFound } from '../../errors.js';
import { describeInvocation } from '../../invocations/describe.js';
import { InvocationSchema } from '../../schemas/invocation.js';
import { InvocationParams, problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { checkTouch, findInvocation } from './find.js';

/** `GET /v1/invocations/{id}`: the record, whatever became of the call. */
export function getRoute(scope: FastifyInstance, services: Services): void {
  scope.get<{ Params: Static<typeof InvocationParams> }>(
    '/v1/invocations/:id',
    {
      config: { scope: 'invocation:read', pattern: 'handler' },
      schema: {
        summary: 'Show an invocation',
        params: InvocationParams,
        response: { 200: InvocationSchema, ...problems('4XX', '5XX') },
      },
    },
    async (request) => {
      const { known, running } = await findInvocation(services, request.tenant, request.params.id);
      checkTouch(request, known);
      const view = describeInvocation(known, running);
      if (view === undefined) throw notFound(`invocation ${request.params.id}`);
      return view;
    },
  );
}
