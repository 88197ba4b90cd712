import type { Lane } from './permits.js';

/** What the processor knows of a queue's job. */
export interface JobView {
  readonly id: string;
  readonly lane: Lane;
  readonly data: unknown;
  /** Starts of this job so far, this one included; above 1, some of its invocations may have ended before. */
  readonly attempt: number;
  /** Whether nobody will try again after this attempt. */
  readonly isLastAttempt: boolean;
}
