import { LIMITS } from '@mayfly/contracts';
import type { FastifyReply } from 'fastify';
import { carryOutOnce } from '../../idempotency/carry-out.js';
import { Claims } from '../../idempotency/claims.js';
import type { OnceRequest } from '../../idempotency/idempotency-key.js';
import { answerOfRecord } from '../../invocations/answer.js';
import { shapeOf } from '../../invocations/call.js';
import { appliedWait } from '../../invocations/prefer.js';
import { resultBytes } from '../../invocations/result-bytes.js';
import { sendAnswer } from '../../plugins/error-handler.js';
import { findClaimed } from '../invocations/find.js';
import { answerCall, answerTaken, type Exchange, type Order } from './answer-call.js';

interface OnceOrder extends Order {
  readonly once: OnceRequest;
}

/** Runs a call for the first request of its `Idempotency-Key`; the others are answered with what became of that one. */
export async function respondOnce(exchange: Exchange, order: OnceOrder): Promise<FastifyReply> {
  const { tenant, signal } = exchange.request;
  const { services } = exchange;
  const { ends, redis, blobs } = services;
  const { call, preferences, once } = order;
  const { respondAsync, waitMs = 0 } = preferences;
  const end = await carryOutOnce(
    {
      ...{ claims: new Claims(redis), ends },
      find: (ofTenant, invocationId) => findClaimed(services, ofTenant, invocationId),
    },
    {
      ...{ tenant, once, signal, isAsync: respondAsync, runMs: longestRunMs(call.timeoutMs) },
      waitMs: respondAsync ? 0 : waitMs,
      run: (invocationId) => answerCall(exchange, { ...order, call: { ...call, invocationId } }),
    },
  );
  if (end.kind === 'ran') return end.value;
  const { reply } = exchange;
  reply.header('idempotency-replayed', 'true');
  if (end.kind === 'taken') return answerTaken(exchange, end.known, order);
  const { ended, accepted } = end;
  if (end.waited) reply.header('preference-applied', appliedWait(waitMs));
  const shape = accepted === undefined ? call.shape : shapeOf(accepted);
  return sendAnswer(reply, answerOfRecord(ended, await resultBytes(blobs, ended), shape));
}

/** From the queue to the end of a call that is waited for: its worker may begin it in the last moment. */
export function longestRunMs(timeoutMs: number): number {
  return LIMITS.queueWaitMs + 2 * timeoutMs;
}
