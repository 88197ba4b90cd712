import type { FunctionRef } from './job.js';

/** Whether a version can be called: `failed` is a fault of its initialisation, which no host cures. */
export type ReadinessState = 'pending' | 'ready' | 'failed';

/** What is known of a version's snapshot. Of a version from before this was kept: nothing; it counts as ready. */
export interface Readiness {
  readonly state: ReadinessState;
  /** Since when. */
  readonly atMs: number;
  /** Who made the snapshot, or failed to. */
  readonly workerId?: string;
  /** Why it failed; text that a guest may have chosen. */
  readonly message?: string;
}

/** What a worker says once it has tried to prepare a version, on `channels.ready`. */
export interface ReadinessReport {
  readonly tenant: string;
  readonly name: string;
  readonly version: number;
  readonly workerId: string;
  /** `unavailable`: this host could not, another may. */
  readonly state: 'ready' | 'failed' | 'unavailable';
  readonly atMs: number;
  readonly message?: string;
  /** The request to warm up that this answers; absent: none. */
  readonly warmId?: string;
  /** How long it took; 0 when the snapshot was there. */
  readonly tookMs?: number;
}

/** What is announced on `channels.versions`: a version to prepare. */
export interface PrepareOrder extends FunctionRef {
  /** Answer with this id, even if there was nothing to do. 32 hex digits. */
  readonly warmId?: string;
}

/** How long a worker's reports are kept for a gateway that did not hear them. */
export const REPORT_RETENTION_MS = 7 * 24 * 3_600_000;
