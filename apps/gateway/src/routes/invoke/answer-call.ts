import type { FastifyReply, FastifyRequest } from 'fastify';
import type { OnceRequest } from '../../idempotency/idempotency-key.js';
import { answerOfRecord } from '../../invocations/answer.js';
import { type Call, shapeOf } from '../../invocations/call.js';
import { describeInvocation } from '../../invocations/describe.js';
import type { KnownInvocation } from '../../invocations/invocation-store.js';
import { appliedWait, type Preferences } from '../../invocations/prefer.js';
import { resultBytes } from '../../invocations/result-bytes.js';
import { sendAnswer } from '../../plugins/error-handler.js';
import type { Services } from '../../services.js';

const POLL_AFTER_S = 1;

export interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly services: Services;
}

/** A call, and how its client wants to be answered. */
export interface Order {
  readonly call: Call;
  readonly preferences: Preferences;
  /** Absent: the request came without an `Idempotency-Key`. */
  readonly once?: OnceRequest | undefined;
}

/** Runs a call and answers it, or answers that it was taken. */
export async function answerCall(exchange: Exchange, order: Order): Promise<FastifyReply> {
  const { reply, services } = exchange;
  const { invoker, cache } = services;
  if (!order.preferences.respondAsync) {
    const { tenant, name } = order.call.ref;
    const isDetached = cache.peek(tenant, name)?.settings.onDisconnect === 'detach';
    return sendAnswer(reply, await invoker.invoke(order.call, isDetached ? undefined : reply.raw));
  }
  return answerTaken(exchange, { accepted: await invoker.accept(order.call) }, order);
}

/** Answers a call that outlives its connection: 202, or its result when the client waits and it ends in time. */
export async function answerTaken(
  { request, reply, services }: Exchange,
  known: KnownInvocation & { readonly accepted: NonNullable<KnownInvocation['accepted']> },
  { preferences }: Order,
): Promise<FastifyReply> {
  const { ends, store, blobs } = services;
  const { tenant } = request;
  const { invocationId, version, alias } = known.accepted;
  const { waitMs = 0 } = preferences;
  const waited = await ends.wait({ tenant, invocationId, waitMs, signal: request.signal });
  const ended = waited ? (await store.find(tenant, invocationId))?.ended : undefined;
  reply.headers({
    location: `/v1/invocations/${invocationId}`,
    'preference-applied': waited ? `respond-async, ${appliedWait(waitMs)}` : 'respond-async',
  });
  if (ended !== undefined)
    return sendAnswer(reply, answerOfRecord(ended, await resultBytes(blobs, ended), shapeOf(known.accepted)));
  return reply
    .code(202)
    .headers({
      'retry-after': String(POLL_AFTER_S),
      'invocation-id': invocationId,
      'function-version': String(version),
      ...(alias !== undefined && { 'function-alias': alias }),
    })
    .send(describeInvocation(known, false));
}
