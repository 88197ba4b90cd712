import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { answerOfRecord } from '../../invocations/answer.js';
import { shapeOf } from '../../invocations/call.js';
import { describeInvocation } from '../../invocations/describe.js';
import { resultBytes } from '../../invocations/result-bytes.js';
import { sendAnswer } from '../../plugins/error-handler.js';
import { InvocationSchema } from '../../schemas/invocation.js';
import { InvocationParams, problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { checkTouch, findInvocation } from './find.js';

const POLL_AFTER_S = '1';

/** `GET /v1/invocations/{id}/result`: what a caller that waited was answered, byte by byte; 202 while it runs. */
export function resultRoute(scope: FastifyInstance, services: Services): void {
  scope.get<{ Params: Static<typeof InvocationParams> }>(
    '/v1/invocations/:id/result',
    {
      config: { scope: 'invocation:read', pattern: 'handler' },
      schema: {
        summary: 'Answer of an invocation',
        params: InvocationParams,
        response: {
          200: { description: 'As POST /invoke answers', content: { '*/*': { schema: Type.Unknown() } } },
          202: InvocationSchema,
          ...problems('4XX', '5XX'),
        },
      },
    },
    async (request, reply) => {
      const { known, running } = await findInvocation(services, request.tenant, request.params.id);
      checkTouch(request, known);
      if (known.ended === undefined)
        return reply.code(202).header('retry-after', POLL_AFTER_S).send(describeInvocation(known, running));
      const body = await resultBytes(services.blobs, known.ended);
      return sendAnswer(reply, answerOfRecord(known.ended, body, shapeOf(known.accepted)));
    },
  );
}
