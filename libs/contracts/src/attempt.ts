import type { Outcome } from './outcomes.js';
import type { Timings } from './record.js';

/** One try at an async invocation. */
export interface Attempt {
  /** From 1. */
  readonly attempt: number;
  readonly workerId: string;
  readonly version: number;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly outcome: Outcome;
  /** Why it did not succeed. */
  readonly detail?: string;
  /** Absent: nobody is left to tell. */
  readonly timings?: Timings;
}
