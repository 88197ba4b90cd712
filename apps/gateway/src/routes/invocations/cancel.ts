import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { conflict } from '../../errors.js';
import { describeInvocation } from '../../invocations/describe.js';
import { mayTouch } from '../../plugins/auth.js';
import { InvocationSchema } from '../../schemas/invocation.js';
import { InvocationParams, problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';

/** `POST /v1/invocations/{id}/cancel`: queued or running; its guest has stopped when the answer leaves. */
export function cancelRoute(scope: FastifyInstance, { canceler }: Services): void {
  scope.post<{ Params: Static<typeof InvocationParams> }>(
    '/v1/invocations/:id/cancel',
    {
      config: { scope: 'function:invoke', pattern: 'handler' },
      schema: {
        summary: 'Cancel an invocation',
        description:
          'A queued one never runs, a running one is stopped before the answer leaves. Canceling twice is canceling once; one that ended otherwise is a conflict.',
        params: InvocationParams,
        response: { 200: InvocationSchema, ...problems('4XX', '5XX') },
      },
    },
    async (request) => {
      const { id } = request.params;
      const ended = await canceler.cancel(id, {
        tenant: request.tenant,
        mayTouch: (name) => mayTouch(request, name),
        isUnrestricted: request.principal.functionPattern === undefined,
      });
      if (ended.outcome !== 'canceled')
        throw conflict(`the invocation has ended before: ${ended.outcome}`, { invocationId: id });
      return describeInvocation({ ended }, false);
    },
  );
}
