import type { FastifyReply } from 'fastify';
import type { Call } from '../../invocations/call.js';
import { describeAccepted } from '../../invocations/describe.js';
import { sendAnswer } from '../../plugins/error-handler.js';
import type { Services } from '../../services.js';

const POLL_AFTER_S = 1;

/** Runs a call and answers it, or answers that it was taken. */
export async function respond(
  reply: FastifyReply,
  { invoker }: Services,
  { call, async }: { call: Call; async: boolean },
): Promise<FastifyReply> {
  if (!async) return sendAnswer(reply, await invoker.invoke(call));
  const accepted = await invoker.accept(call);
  return reply
    .code(202)
    .headers({
      location: `/v1/invocations/${accepted.invocationId}`,
      'retry-after': String(POLL_AFTER_S),
      'invocation-id': accepted.invocationId,
      'function-version': String(accepted.version),
      'preference-applied': 'respond-async',
    })
    .send(describeAccepted(accepted, 'queued'));
}
