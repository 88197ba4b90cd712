import { type InvocationRecord, isMayflyError, LIMITS } from '@mayfly/contracts';
import type { FastifyReply } from 'fastify';
import { gatewayError } from '../../errors.js';
import { type Claim, Claims } from '../../idempotency/claims.js';
import type { OnceRequest } from '../../idempotency/idempotency-key.js';
import { newInvocationId } from '../../ids.js';
import { answerOfRecord } from '../../invocations/answer.js';
import { shapeOf } from '../../invocations/call.js';
import type { KnownInvocation } from '../../invocations/invocation-store.js';
import { appliedWait } from '../../invocations/prefer.js';
import { resultBytes } from '../../invocations/result-bytes.js';
import { sendAnswer } from '../../plugins/error-handler.js';
import { answerCall, answerTaken, type Exchange, type Order } from './answer-call.js';

/**
 * DESIGN: a claim names the invocation before it is queued, and the invocation's record alone says what became of it:
 * nothing has to be written when it ends, and a gateway that dies leaves nothing to be put right. A claim whose
 * invocation left no trace by the time at which it must have is taken over by the next request.
 */
/** From the claim to the queue, with a slow Redis in between. */
const QUEUE_WITHIN_MS = 10_000;
/** Each try ends in an answer unless another request took the claim over in between. */
const MAX_TRIES = 5;
const RETRY_AFTER_S = 1;

interface OnceOrder extends Order {
  readonly once: OnceRequest;
}

/** Runs a call for the first request of its `Idempotency-Key`; the others are answered with what became of that one. */
export async function respondOnce(exchange: Exchange, order: OnceOrder): Promise<FastifyReply> {
  const { tenant, signal } = exchange.request;
  const { store, ends, redis } = exchange.services;
  const { once, preferences } = order;
  const claims = new Claims(redis);
  let waitMs = preferences.respondAsync ? 0 : (preferences.waitMs ?? 0);
  for (let attempt = 1; attempt <= MAX_TRIES; attempt += 1) {
    const startedAt = performance.now();
    const claim = newClaim(order);
    const carryOut = () => runClaimed(exchange, order, { claims, claim, startedAt });
    const standing = await claims.take(once, claim);
    if (standing === undefined) return carryOut();
    checkFingerprint(standing, once);
    const invocationId = standing.id;
    const known = await store.find(tenant, invocationId);
    if (isOver(standing, known)) {
      if (await claims.replace(once, standing, claim)) return carryOut();
      continue;
    }
    if (known?.ended !== undefined || isTaken(known, order)) return replay(exchange, order, known);
    if (waitMs > 0 && (await ends.wait({ tenant, invocationId, waitMs, signal }))) {
      exchange.reply.header('preference-applied', appliedWait(waitMs));
      waitMs = 0;
      continue;
    }
    throw running(exchange, invocationId);
  }
  throw gatewayError('MAYFLY_ERR_GATEWAY_UNAVAILABLE', 'too many requests came with this Idempotency-Key');
}

function newClaim({ call, preferences, once }: OnceOrder): Claim {
  const now = Date.now();
  // A call that is waited for leaves its record only at its end, which comes by then or never.
  const runMs = preferences.respondAsync ? 0 : LIMITS.queueWaitMs + 2 * call.timeoutMs;
  const { fingerprint } = once;
  return { fingerprint, id: newInvocationId(now), untilMs: now + QUEUE_WITHIN_MS + runMs };
}

interface Turn {
  readonly claims: Claims;
  readonly claim: Claim;
  /** `performance.now()` before the claim was taken. */
  readonly startedAt: number;
}

async function runClaimed(
  exchange: Exchange,
  order: OnceOrder,
  { claims, claim, startedAt }: Turn,
): Promise<FastifyReply> {
  try {
    // A process that stood still meanwhile may have lost the claim.
    if (performance.now() - startedAt > QUEUE_WITHIN_MS / 2)
      throw gatewayError('MAYFLY_ERR_GATEWAY_SATURATED', 'the call could not be queued in time');
    return await answerCall(exchange, { ...order, call: { ...order.call, invocationId: claim.id } });
  } catch (error) {
    if (isRefusal(error)) await claims.release(order.once, claim).catch(() => undefined);
    throw error;
  }
}

/** Whether nothing was queued, for a cause that goes by; where that is not known, the claim heals by its time. */
function isRefusal(error: unknown): boolean {
  if (!isMayflyError(error) || error.code === 'MAYFLY_ERR_GATEWAY_UNAVAILABLE') return false;
  const { status } = error.definition;
  return (status === 429 || status >= 500) && error.details['invocationId'] === undefined;
}

/** Whether the request may be carried out anew: nothing came of it, or nothing that another try would not mend. */
function isOver(standing: Claim, known: KnownInvocation | undefined): boolean {
  if (known?.ended !== undefined) return !isLasting(known.ended);
  return known?.accepted === undefined && Date.now() >= standing.untilMs;
}

/** What the platform or a client that went away did to a call says nothing about the request. */
function isLasting({ outcome }: InvocationRecord): boolean {
  return outcome !== 'host-fault' && outcome !== 'canceled';
}

type Taken = KnownInvocation & { readonly accepted: NonNullable<KnownInvocation['accepted']> };

/** Whether the request was answered with 202, and this one is to be, too. */
function isTaken(known: KnownInvocation | undefined, { preferences }: Order): known is Taken {
  return preferences.respondAsync && known?.accepted !== undefined && !('answered' in known.accepted);
}

async function replay(exchange: Exchange, order: OnceOrder, known: KnownInvocation): Promise<FastifyReply> {
  const { reply, services } = exchange;
  reply.header('idempotency-replayed', 'true');
  if (known.ended === undefined || isTaken(known, order)) return answerTaken(exchange, known as Taken, order);
  const shape = known.accepted === undefined ? order.call.shape : shapeOf(known.accepted);
  const body = await resultBytes(services.blobs, known.ended);
  return sendAnswer(reply, answerOfRecord(known.ended, body, shape));
}

export function checkFingerprint(standing: Claim, { fingerprint }: OnceRequest): void {
  if (standing.fingerprint === fingerprint) return;
  throw gatewayError(
    'MAYFLY_ERR_GATEWAY_IDEMPOTENCY_KEY_REUSED',
    'the first request with this key had another body',
  );
}

function running({ reply }: Exchange, invocationId: string) {
  reply.header('location', `/v1/invocations/${invocationId}`);
  return gatewayError(
    'MAYFLY_ERR_GATEWAY_IDEMPOTENT_RUNNING',
    'the first request with this key has not ended',
    { details: { invocationId, retryAfterS: RETRY_AFTER_S } },
  );
}
