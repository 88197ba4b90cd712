import { LIMITS } from '@mayfly/contracts';

/** What a lane (the sync calls of one function version) looks like when it may send. */
export interface LaneState {
  /** Sizes of the calls that wait, oldest first. */
  readonly pendingBytes: readonly number[];
  /** Jobs sent and not yet answered in full. */
  readonly jobsInFlight: number;
  /** Their calls that have no answer yet. */
  readonly callsInFlight: number;
  /** What a call of this version usually takes in its sandbox; undefined before the first answer. */
  readonly typicalRunUs: number | undefined;
  /** Whether the oldest call has waited for company as long as it may. */
  readonly overdue: boolean;
}

/** Jobs of one version in flight before its calls wait for each other. */
export const CREDIT_JOBS = 2;
/**
 * The same for short calls where many are open: the next job is gathered while one runs, so that jobs are as full as
 * they can be. A job costs four scripts in Redis, some ten calls' worth of work.
 */
export const BUSY_CREDIT_JOBS = 1;
/** Open calls from which a lane is busy. */
export const BUSY_CALLS = 8;
const SHORT_RUN_US = 1_000;
/** Calls longer than this travel alone: a pack holds its worker until its slowest call has ended. */
export const PACKABLE_RUN_US = 5_000;
const PACK_BYTES = 64 * 1024;

/**
 * How many of the waiting calls go into each job to send now; the rest keeps waiting. While there is credit every
 * call travels alone; without it calls gather until a job ends, so that one job carries what came meanwhile
 * (queue-floors 4b).
 */
export function planJobs(state: LaneState): number[] {
  const pending = state.pendingBytes.length;
  if (state.typicalRunUs === undefined || state.typicalRunUs > PACKABLE_RUN_US)
    return new Array(pending).fill(1);
  const credit = Math.max(0, creditOf(state) - state.jobsInFlight);
  if (pending <= credit) return new Array(pending).fill(1);
  if (credit === 0 && !state.overdue && pending < LIMITS.invocationsPerJob) return [];
  const aim = Math.min(LIMITS.invocationsPerJob, Math.ceil(pending / Math.max(1, credit)));
  const jobs: number[] = [];
  let packed = 0;
  let packBytes = 0;
  for (const sizeBytes of state.pendingBytes) {
    if (packed > 0 && (packed === aim || packBytes + sizeBytes > PACK_BYTES)) {
      jobs.push(packed);
      packed = 0;
      packBytes = 0;
    }
    packed += 1;
    packBytes += sizeBytes;
  }
  if (packed > 0) jobs.push(packed);
  return jobs;
}

function creditOf({ pendingBytes, callsInFlight, typicalRunUs }: LaneState): number {
  const isShort = typicalRunUs !== undefined && typicalRunUs < SHORT_RUN_US;
  return isShort && pendingBytes.length + callsInFlight > BUSY_CALLS ? BUSY_CREDIT_JOBS : CREDIT_JOBS;
}

const SHORTEST_HOLD_MS = 2;
const LONGEST_HOLD_MS = 10;

/**
 * How long a call may wait for company: twice what a job of its lane takes, since a job is what it waits for. Less
 * would send small jobs exactly where the platform is busy, and make it busier.
 * @param typicalJobMs undefined before the first job has ended
 */
export function holdMs(typicalJobMs: number | undefined): number {
  return Math.min(LONGEST_HOLD_MS, Math.max(SHORTEST_HOLD_MS, 2 * (typicalJobMs ?? 0)));
}
