import { DEFAULT_SETTINGS, type InvocationRecord } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { gatewayError } from '../../errors.js';
import { answerOfRecord } from '../../invocations/answer.js';
import { shapeOf } from '../../invocations/call.js';
import { describeInvocation } from '../../invocations/describe.js';
import { tagged } from '../../invocations/etag.js';
import { resultBytes } from '../../invocations/result-bytes.js';
import { sendAnswer } from '../../plugins/error-handler.js';
import { InvocationSchema } from '../../schemas/invocation.js';
import { InvocationParams, NotModified, problems, WaitHeaders } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { waitForInvocation } from './find.js';

const POLL_AFTER_S = '1';

/** `GET /v1/invocations/{id}/result`: what a caller that waited was answered, byte by byte; 202 while it runs. */
export function resultRoute(scope: FastifyInstance, services: Services): void {
  scope.get<{ Params: Static<typeof InvocationParams> }>(
    '/v1/invocations/:id/result',
    {
      config: { scope: 'invocation:read', pattern: 'handler' },
      schema: {
        summary: 'Answer of an invocation',
        description:
          'With `Prefer: wait=N` once it has ended, or 202 after N seconds. 410 once the result is no longer kept.',
        params: InvocationParams,
        headers: WaitHeaders,
        response: {
          200: { description: 'As POST /invoke answers', content: { '*/*': { schema: Type.Unknown() } } },
          202: InvocationSchema,
          304: NotModified,
          ...problems('4XX', '5XX'),
        },
      },
    },
    async (request, reply) => {
      const { known, running, run } = await waitForInvocation(services, request, reply);
      const { ended } = known;
      if (ended === undefined)
        return reply
          .code(202)
          .header('retry-after', POLL_AFTER_S)
          .send(describeInvocation(known, running, run));
      await checkRetention(services, ended);
      const answer = answerOfRecord(ended, await resultBytes(services.blobs, ended), shapeOf(known.accepted));
      if (tagged(request, reply, answer.body)) return reply.code(304).send();
      return sendAnswer(reply, answer);
    },
  );
}

/** A result lives shorter than its record. @throws MAYFLY_ERR_GATEWAY_RESULT_EXPIRED */
async function checkRetention({ cache }: Services, record: InvocationRecord): Promise<void> {
  const { tenant, function: name, invocationId, finishedAtMs } = record;
  if (record.result === undefined) return;
  const { resultRetentionMs } = (await cache.get(tenant, name))?.settings ?? DEFAULT_SETTINGS;
  if (Date.now() - finishedAtMs < resultRetentionMs) return;
  throw gatewayError('MAYFLY_ERR_GATEWAY_RESULT_EXPIRED', 'the result is no longer kept', {
    details: { invocationId },
  });
}
