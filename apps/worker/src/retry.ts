import { DEFAULT_SETTINGS, type Outcome, type RetrySettings } from '@mayfly/contracts';

/**
 * Attempts that the host may fail before a call is given up. They do not count as the caller's: a rollout that meets
 * the same call a few times must not cost it its retries.
 */
const HOST_FAULTS = 5;

/** How an attempt ended, and what came before. */
export interface AttemptEnd {
  readonly outcome: Outcome;
  /** Whether another host may do better; of a host fault. */
  readonly isCurable: boolean;
  /** Number of the attempt. */
  readonly attempt: number;
  /** Attempts that the host failed, this one included. */
  readonly faults: number;
  readonly acceptedAtMs: number;
  /** Absent: as `DEFAULT_SETTINGS` say. */
  readonly retry: RetrySettings | undefined;
}

export type Next =
  | { readonly kind: 'end'; readonly state?: 'dead_lettered' | 'expired' }
  | { readonly kind: 'again'; readonly delayMs: number };

/** What follows an attempt at an async call. @param random from 0 up to 1 */
export function nextOf(end: AttemptEnd, nowMs: number, random: () => number = Math.random): Next {
  const { outcome, isCurable, attempt, faults, acceptedAtMs, retry = DEFAULT_SETTINGS.retry } = end;
  if (outcome === 'succeeded' || outcome === 'canceled') return { kind: 'end' };
  const tries = attempt - faults;
  const mayTryAgain =
    outcome === 'host-fault'
      ? isCurable && faults < HOST_FAULTS
      : retry.retryOn.includes(outcome) && tries < retry.attempts;
  if (!mayTryAgain) return { kind: 'end', state: 'dead_lettered' };
  const delayMs = backoffMs(retry, outcome === 'host-fault' ? faults : tries, random);
  if (nowMs + delayMs >= acceptedAtMs + retry.maxAgeMs) return { kind: 'end', state: 'expired' };
  return { kind: 'again', delayMs };
}

/** Whether a call has grown too old to be begun. */
export function isTooOld(acceptedAtMs: number, retry: RetrySettings | undefined, nowMs: number): boolean {
  return nowMs >= acceptedAtMs + (retry ?? DEFAULT_SETTINGS.retry).maxAgeMs;
}

/** Full jitter: drawn evenly from 0 to min(maxBackoffMs, minBackoffMs * 2^(n-1)), so that calls that failed together do
 * not come back together. */
function backoffMs({ minBackoffMs, maxBackoffMs }: RetrySettings, n: number, random: () => number): number {
  const most = Math.min(maxBackoffMs, minBackoffMs * 2 ** Math.min(n - 1, 40));
  return Math.floor(random() * most);
}
