import { describe, expect, it } from 'vitest';
import {
  BUSY_CALLS,
  BUSY_CREDIT_JOBS,
  CREDIT_JOBS,
  holdMs,
  type LaneState,
  PACKABLE_RUN_US,
  planJobs,
} from '../../src/dispatch/pack-policy.js';

const state = (pending: number, changes: Partial<LaneState> = {}): LaneState => ({
  pendingBytes: new Array(pending).fill(100),
  jobsInFlight: 0,
  callsInFlight: 0,
  typicalRunUs: 100,
  overdue: false,
  ...changes,
});

describe('planJobs', () => {
  it('sends nothing for nothing', () => {
    expect(planJobs(state(0))).toEqual([]);
  });

  it('sends calls alone while there is credit', () => {
    expect(planJobs(state(1))).toEqual([1]);
    expect(planJobs(state(CREDIT_JOBS))).toEqual(new Array(CREDIT_JOBS).fill(1));
  });

  it('spreads more calls than credit over the jobs that there is credit for', () => {
    expect(planJobs(state(6))).toEqual([3, 3]);
    expect(planJobs(state(6, { jobsInFlight: CREDIT_JOBS - 1 }))).toEqual([6]);
    expect(planJobs(state(12, { typicalRunUs: 2_000 }))).toEqual([6, 6]);
  });

  it('fills one job after the other where many short calls are open', () => {
    const busy = { callsInFlight: BUSY_CALLS, jobsInFlight: BUSY_CREDIT_JOBS };
    expect(planJobs(state(BUSY_CALLS + 1))).toEqual([BUSY_CALLS + 1]);
    expect(planJobs(state(5, busy))).toEqual([]);
    expect(planJobs(state(5, { ...busy, typicalRunUs: 2_000 }))).toEqual([5]);
  });

  it('keeps calls while there is no credit, unless they fill a job or are overdue', () => {
    expect(planJobs(state(5, { jobsInFlight: CREDIT_JOBS }))).toEqual([]);
    expect(planJobs(state(16, { jobsInFlight: CREDIT_JOBS }))).toEqual([16]);
    expect(planJobs(state(5, { jobsInFlight: CREDIT_JOBS, overdue: true }))).toEqual([5]);
  });

  it('never puts more than 16 calls into a job', () => {
    expect(Math.max(...planJobs(state(100, { jobsInFlight: CREDIT_JOBS, overdue: true })))).toBe(16);
  });

  it('never packs calls whose run is long or unknown', () => {
    const long = { jobsInFlight: 99, typicalRunUs: PACKABLE_RUN_US + 1 };
    expect(planJobs(state(3, long))).toEqual([1, 1, 1]);
    expect(planJobs(state(3, { jobsInFlight: 99, typicalRunUs: undefined }))).toEqual([1, 1, 1]);
  });

  it('keeps a job below 64 KiB', () => {
    const pendingBytes = new Array(16).fill(8 * 1024);
    expect(planJobs(state(0, { pendingBytes, jobsInFlight: CREDIT_JOBS, overdue: true }))).toEqual([8, 8]);
  });

  it('sends every call exactly once, whatever the state', () => {
    for (let pending = 0; pending < 70; pending += 1)
      for (let jobsInFlight = 0; jobsInFlight < 6; jobsInFlight += 1) {
        const sent = planJobs(state(pending, { jobsInFlight, overdue: true }));
        expect(sent.reduce((sum, size) => sum + size, 0)).toBe(pending);
      }
  });
});

describe('holdMs', () => {
  it('is twice what a job takes, within its bounds', () => {
    expect(holdMs(3)).toBe(6);
    expect(holdMs(undefined)).toBe(2);
    expect(holdMs(0.1)).toBe(2);
    expect(holdMs(1_000)).toBe(10);
  });
});
