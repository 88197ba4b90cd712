import { LIMITS } from './limits.js';

/** What a key may do. An operator's key has no scopes: it may do all that operators do, and acts for no tenant. */
export const SCOPES = [
  'function:invoke',
  'function:write',
  'invocation:read',
  'secret:write',
  'tenant:admin',
] as const;
export type Scope = (typeof SCOPES)[number];

/** What a tenant may use. The limit's name in an error is the field's name. */
export interface TenantQuotas {
  /** Invocations admitted a second on average, and the burst above it. */
  readonly ratePerS: number;
  readonly burst: number;
  /** Sync calls admitted that have not ended; more are refused. */
  readonly maxInFlight: number;
  /** Calls that run at once; more wait. */
  readonly maxRunning: number;
  /** Calls that wait for their turn, and the bytes of their inputs; more are refused. */
  readonly maxQueued: number;
  readonly maxQueuedBytes: number;
  readonly maxFunctions: number;
  /** Versions of one function. */
  readonly maxVersions: number;
  /** Artifacts of all versions together. */
  readonly maxStoredBytes: number;
  /** Ceilings of one call. */
  readonly maxTimeoutMs: number;
  readonly maxMemoryBytes: number;
  /** Share of the hosts when several tenants want them. */
  readonly weight: number;
}

export const DEFAULT_QUOTAS: TenantQuotas = {
  ratePerS: 100_000,
  burst: 100_000,
  maxInFlight: 1_024,
  maxRunning: 1_024,
  maxQueued: 100_000,
  maxQueuedBytes: 256 * 1024 * 1024,
  maxFunctions: 1_000,
  maxVersions: 1_000,
  maxStoredBytes: 16 * 1024 * 1024 * 1024,
  maxTimeoutMs: LIMITS.timeoutMs,
  maxMemoryBytes: LIMITS.guestMemoryBytes,
  weight: 1,
};
