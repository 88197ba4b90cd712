import type { FastifyReply, FastifyRequest } from 'fastify';
import { answerOfRecord } from '../../invocations/answer.js';
import type { Call } from '../../invocations/call.js';
import { describeInvocation } from '../../invocations/describe.js';
import { appliedWait, type Preferences } from '../../invocations/prefer.js';
import { resultBytes } from '../../invocations/result-bytes.js';
import { sendAnswer } from '../../plugins/error-handler.js';
import type { Services } from '../../services.js';

const POLL_AFTER_S = 1;

/** Runs a call and answers it, or answers that it was taken: at once, or once the client has waited as it wants to. */
export async function respond(
  { request, reply, services }: { request: FastifyRequest; reply: FastifyReply; services: Services },
  { call, preferences }: { call: Call; preferences: Preferences },
): Promise<FastifyReply> {
  const { invoker, ends, store, blobs } = services;
  if (!preferences.respondAsync) return sendAnswer(reply, await invoker.invoke(call));
  const accepted = await invoker.accept(call);
  const { tenant } = request;
  const { invocationId } = accepted;
  const { waitMs = 0 } = preferences;
  const waited = await ends.wait({ tenant, invocationId, waitMs, signal: request.signal });
  const ended = waited ? (await store.find(tenant, invocationId))?.ended : undefined;
  reply.headers({
    location: `/v1/invocations/${invocationId}`,
    'preference-applied': waited ? `respond-async, ${appliedWait(waitMs)}` : 'respond-async',
  });
  if (ended !== undefined)
    return sendAnswer(reply, answerOfRecord(ended, await resultBytes(blobs, ended), call.shape));
  return reply
    .code(202)
    .headers({
      'retry-after': String(POLL_AFTER_S),
      'invocation-id': invocationId,
      'function-version': String(accepted.version),
      ...(accepted.alias !== undefined && { 'function-alias': accepted.alias }),
    })
    .send(describeInvocation({ accepted }, false));
}
