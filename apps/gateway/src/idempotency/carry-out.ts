import { type InvocationRecord, isMayflyError } from '@mayfly/contracts';
import { gatewayError } from '../errors.js';
import { newInvocationId } from '../ids.js';
import type { EndWatch } from '../invocations/end-watch.js';
import type { KnownInvocation } from '../invocations/invocation-store.js';
import type { Claim, Claims } from './claims.js';
import type { OnceRequest } from './idempotency-key.js';
import { keyReused } from './key-reused.js';

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

export interface OnceDeps {
  readonly claims: Claims;
  /** What is known of an invocation; one that was lost on its way to the queue has ended. */
  readonly find: (tenant: string, invocationId: string) => Promise<KnownInvocation | undefined>;
  readonly ends: Pick<EndWatch, 'wait'>;
}

export interface OnceTask<T> {
  readonly tenant: string;
  readonly once: OnceRequest;
  /** How long another request with the key may take until this one is refused. */
  readonly waitMs: number;
  readonly signal?: AbortSignal;
  /** Whether it is enough that the invocation was accepted; else the answer is its end. */
  readonly isAsync: boolean;
  /** From the queue to the end, at most; of an accepted call there is a record before. */
  readonly runMs: number;
  readonly run: (invocationId: string) => Promise<T>;
}

/** An invocation that was accepted before its end. */
export type TakenInvocation = KnownInvocation & {
  readonly accepted: NonNullable<KnownInvocation['accepted']>;
};

/** What this request did, or what is known of what an earlier one did, and whether it was waited for. */
export type OnceEnd<T> =
  | { readonly kind: 'ran'; readonly value: T }
  | { readonly kind: 'taken'; readonly known: TakenInvocation }
  | {
      readonly kind: 'ended';
      readonly ended: InvocationRecord;
      readonly accepted: KnownInvocation['accepted'];
      readonly waited: boolean;
    };

/**
 * Runs a task for the first request of its key; the others get what became of that one.
 * @throws MAYFLY_ERR_GATEWAY_IDEMPOTENCY_KEY_REUSED, …_IDEMPOTENT_RUNNING, and what the task throws
 */
export async function carryOutOnce<T>(deps: OnceDeps, task: OnceTask<T>): Promise<OnceEnd<T>> {
  const { claims, find, ends } = deps;
  const { tenant, once, signal } = task;
  let { waitMs } = task;
  let waited = false;
  for (let attempt = 1; attempt <= MAX_TRIES; attempt += 1) {
    const startedAt = performance.now();
    const claim = newClaim(task);
    const standing = await claims.take(once, claim);
    if (standing === undefined)
      return { kind: 'ran', value: await runClaimed(claims, task, claim, startedAt) };
    if (standing.fingerprint !== once.fingerprint) throw keyReused();
    const invocationId = standing.id;
    const known = await find(tenant, invocationId);
    if (isOver(standing, known)) {
      if (await claims.replace(once, standing, claim))
        return { kind: 'ran', value: await runClaimed(claims, task, claim, startedAt) };
      continue;
    }
    if (known !== undefined && task.isAsync && isTaken(known)) return { kind: 'taken', known };
    if (known?.ended !== undefined)
      return { kind: 'ended', ended: known.ended, accepted: known.accepted, waited };
    const watch = { tenant, invocationId, waitMs, ...(signal && { signal }) };
    waited = waitMs > 0 && (await ends.wait(watch));
    if (!waited) throw running(invocationId);
    waitMs = 0;
  }
  throw gatewayError('MAYFLY_ERR_GATEWAY_UNAVAILABLE', 'too many requests came with this Idempotency-Key');
}

/** Whether the request that made it was answered before its end. */
function isTaken(known: KnownInvocation): known is TakenInvocation {
  return known.accepted !== undefined && !('answered' in known.accepted);
}

function newClaim({ once, isAsync, runMs }: OnceTask<unknown>): Claim {
  const now = Date.now();
  const untilMs = now + QUEUE_WITHIN_MS + (isAsync ? 0 : runMs);
  return { fingerprint: once.fingerprint, id: newInvocationId(now), untilMs };
}

/** @param startedAt `performance.now()` before the claim was taken */
async function runClaimed<T>(
  claims: Claims,
  { once, run }: OnceTask<T>,
  claim: Claim,
  startedAt: number,
): Promise<T> {
  try {
    // A process that stood still meanwhile may have lost the claim.
    if (performance.now() - startedAt > QUEUE_WITHIN_MS / 2)
      throw gatewayError('MAYFLY_ERR_GATEWAY_SATURATED', 'the call could not be queued in time');
    return await run(claim.id);
  } catch (error) {
    if (isRefusal(error)) await claims.release(once, claim).catch(() => undefined);
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

function running(invocationId: string) {
  return gatewayError(
    'MAYFLY_ERR_GATEWAY_IDEMPOTENT_RUNNING',
    'the first request with this key has not ended',
    {
      details: {
        invocationId,
        location: `/v1/invocations/${invocationId}`,
        retryAfterS: RETRY_AFTER_S,
      },
    },
  );
}
