import { gatewayError } from '../errors.js';
import { newInvocationId } from '../ids.js';
import type { Claim, Claims, StoredAnswer } from './claims.js';
import type { OnceRequest } from './idempotency-key.js';
import { keyReused } from './key-reused.js';

/** Longer than a request of this kind takes; then its gateway has died. */
const ANSWERED_WITHIN_MS = 60_000;
const MAX_TRIES = 5;

/**
 * Carries out a request that makes no invocation: the first of its key does, the others get its answer. One that fails
 * leaves the key free.
 * @throws MAYFLY_ERR_GATEWAY_IDEMPOTENCY_KEY_REUSED, …_IDEMPOTENT_RUNNING, and what the action throws
 */
export async function answerOnce(
  claims: Claims,
  once: OnceRequest,
  act: () => Promise<StoredAnswer>,
): Promise<{ readonly answer: StoredAnswer; readonly replayed: boolean }> {
  const { fingerprint } = once;
  for (let attempt = 1; attempt <= MAX_TRIES; attempt += 1) {
    const now = Date.now();
    const claim: Claim = { fingerprint, id: newInvocationId(now), untilMs: now + ANSWERED_WITHIN_MS };
    const standing = await claims.take(once, claim);
    if (standing !== undefined) {
      if (standing.fingerprint !== fingerprint) throw keyReused();
      if (standing.answer !== undefined) return { answer: standing.answer, replayed: true };
      if (now < standing.untilMs)
        throw gatewayError(
          'MAYFLY_ERR_GATEWAY_IDEMPOTENT_RUNNING',
          'the first request with this key has not ended',
          { details: { retryAfterS: 1 } },
        );
      if (!(await claims.replace(once, standing, claim))) continue;
    }
    return { answer: await actClaimed(claims, { once, claim, act }), replayed: false };
  }
  throw gatewayError('MAYFLY_ERR_GATEWAY_UNAVAILABLE', 'too many requests came with this Idempotency-Key');
}

async function actClaimed(
  claims: Claims,
  { once, claim, act }: { once: OnceRequest; claim: Claim; act: () => Promise<StoredAnswer> },
): Promise<StoredAnswer> {
  try {
    const answer = await act();
    await claims.replace(once, claim, { ...claim, answer });
    return answer;
  } catch (error) {
    await claims.release(once, claim).catch(() => undefined);
    throw error;
  }
}
