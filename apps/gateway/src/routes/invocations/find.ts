import { setTimeout as delay } from 'node:timers/promises';
import type { RunState } from '@mayfly/queue';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { notFound } from '../../errors.js';
import { invocationTimeMs } from '../../ids.js';
import type { KnownInvocation } from '../../invocations/invocation-store.js';
import { appliedWait, readPreferences } from '../../invocations/prefer.js';
import { mayTouch } from '../../plugins/auth.js';
import { orUnavailable } from '../../redis.js';
import type { Services } from '../../services.js';

/** A worker answers first and writes its record beside that, so a reader may be a little early. */
const LOOKS = 6;
const LOOK_AGAIN_MS = 20;
const RECENT_MS = 60_000;

export interface FoundInvocation {
  readonly known: KnownInvocation;
  /** Whether a worker has taken it; false once it has ended. */
  readonly running: boolean;
  /** Of an async one that has begun. */
  readonly run?: RunState;
}

/**
 * The invocation that the request names, once it has ended or the client has waited as long as it wants to.
 * @throws MAYFLY_ERR_GATEWAY_NOT_FOUND, MAYFLY_ERR_GATEWAY_INVALID_REQUEST
 */
export async function waitForInvocation(
  services: Services,
  request: FastifyRequest<{ Params: { id: string } }>,
  reply: FastifyReply,
): Promise<FoundInvocation> {
  const { tenant, signal } = request;
  const invocationId = request.params.id;
  const { waitMs = 0 } = readPreferences(request.headers);
  const found = await findInvocation(services, tenant, invocationId);
  checkTouch(request, found.known);
  if (found.known.ended !== undefined || waitMs === 0) return found;
  if (!(await services.ends.wait({ tenant, invocationId, waitMs, signal }))) return found;
  reply.header('preference-applied', appliedWait(waitMs));
  return findInvocation(services, tenant, invocationId);
}

/**
 * Reads an invocation. A queued one whose job has failed for good, or is gone without a record, ends here: no worker
 * will put its end on record.
 * @throws MAYFLY_ERR_GATEWAY_NOT_FOUND
 */
export async function findInvocation(
  services: Services,
  tenant: string,
  invocationId: string,
): Promise<FoundInvocation> {
  const { store, producer, attempts } = services;
  const known = await lookUp(services, tenant, invocationId);
  if (known === undefined) throw notFound(`invocation ${invocationId}`);
  const { accepted, ended } = known;
  if (ended !== undefined || accepted === undefined) return { known, running: false };
  if ('answered' in accepted) return { known, running: true };
  // From its first attempt on it is known where it is; before, it is in the queue, or nowhere.
  const run = await orUnavailable(attempts.find(tenant, invocationId));
  if (run?.state === 'queued') return { known, running: false, run };
  const place = await producer.placeOf(tenant, run?.jobId ?? invocationId);
  if (place === 'waiting' || place === 'running')
    return { known, running: place === 'running', ...(run && { run }) };
  // The job may have ended between the looks: its record, or its next attempt, was written before.
  const again = await store.find(tenant, invocationId);
  if (again?.ended !== undefined) return { known: again, running: false };
  const later = await orUnavailable(attempts.find(tenant, invocationId));
  if (later !== undefined && (later.state === 'queued' || later.attempt !== run?.attempt))
    return { known, running: later.state !== 'queued', run: later };
  const terminal = await store.writeTerminal(accepted, {
    class: 'async',
    code: 'MAYFLY_ERR_GATEWAY_CALL_LOST',
    message: 'every attempt was ended by a fault of its host',
  });
  return { known: { accepted, ...(terminal && { ended: terminal }) }, running: false };
}

/**
 * What became of an invocation that an `Idempotency-Key` names. Its gateway may have died after it wrote what it accepted
 * and before the call was in the queue: such a call has ended, too.
 */
export async function findClaimed(
  services: Services,
  tenant: string,
  invocationId: string,
): Promise<KnownInvocation | undefined> {
  const known = await services.store.find(tenant, invocationId);
  const { accepted, ended } = known ?? {};
  if (accepted === undefined || ended !== undefined || 'answered' in accepted) return known;
  return (await findInvocation(services, tenant, invocationId)).known;
}

/** What a key may not touch is not there for it. @throws MAYFLY_ERR_GATEWAY_NOT_FOUND */
export function checkTouch(request: FastifyRequest, { accepted, ended }: KnownInvocation): void {
  const { function: name, invocationId } = ended ?? accepted ?? {};
  if (name === undefined || !mayTouch(request, name)) throw notFound(`invocation ${invocationId}`);
}

/** Looks a few times for what a recent call must have left: its caller may have been answered a moment ago. */
async function lookUp(
  { store }: Services,
  tenant: string,
  invocationId: string,
): Promise<KnownInvocation | undefined> {
  const isRecent = Math.abs(Date.now() - invocationTimeMs(invocationId)) < RECENT_MS;
  for (let look = 1; ; look += 1) {
    const known = await store.find(tenant, invocationId);
    const isPartial =
      known?.ended === undefined && (known?.accepted === undefined || 'answered' in known.accepted);
    if (!isPartial || !isRecent || look === LOOKS) return known;
    await delay(LOOK_AGAIN_MS);
  }
}
