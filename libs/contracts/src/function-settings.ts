import { LIMITS } from './limits.js';
import type { Outcome } from './outcomes.js';

/** How an async invocation is tried again. Times in milliseconds; the wait before attempt n + 1 is drawn evenly from 0
 * to min(maxBackoffMs, minBackoffMs * 2^(n-1)) ("full jitter"). */
export interface RetrySettings {
  /** Attempts in all. */
  readonly attempts: number;
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  /** Accepted → given up. */
  readonly maxAgeMs: number;
  /** Outcomes of the guest that are tried again; host faults always are. */
  readonly retryOn: readonly Outcome[];
}

/** What may be changed of a function without a new version. */
export interface FunctionSettings {
  /** Ceiling of one call's guest time; absent: the manifest's. */
  readonly timeoutMs?: number;
  /** Ceiling of a version's guest memory; absent: the tenant's. */
  readonly memoryBytes?: number;
  /** Calls that run at once; absent: the tenant's. `reserved`: running calls of the tenant kept free for this one. */
  readonly concurrency: { readonly max?: number; readonly reserved: number };
  /**
   * Of which calls result and log stay on record. Of the others they are in the answer to who waits, and nowhere else.
   */
  readonly storeResult: 'always' | 'on-failure' | 'never';
  readonly resultRetentionMs: number;
  /** What a client that goes away means for its sync call. */
  readonly onDisconnect: 'cancel' | 'detach';
  readonly requireIdempotencyKey: boolean;
  readonly retry: RetrySettings;
  /** Shown to the guest; not secret. */
  readonly env: Readonly<Record<string, string>>;
  /** Names of the tenant's secrets that the function may read. */
  readonly secrets: readonly string[];
}

export const DEFAULT_SETTINGS: FunctionSettings = {
  concurrency: { reserved: 0 },
  storeResult: 'always',
  resultRetentionMs: LIMITS.resultRetentionMs,
  onDisconnect: 'cancel',
  requireIdempotencyKey: false,
  retry: { attempts: 3, minBackoffMs: 500, maxBackoffMs: 60_000, maxAgeMs: 6 * 3_600_000, retryOn: [] },
  env: {},
  secrets: [],
};
