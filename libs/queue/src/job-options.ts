/**
 * How BullMQ keeps our jobs, as the JSON that it stores in a job's hash (short names are BullMQ's). Nobody reads a
 * completed job: results travel on their own path.
 */
/** A sync call runs at most once: its caller decides about another try. */
export const SYNC_JOB_OPTIONS = JSON.stringify({
  attempts: 1,
  removeOnComplete: true,
  removeOnFail: { count: 1_000 },
  stackTraceLimit: 1,
  kl: 0,
});

/** Only host faults are thrown in a worker, so only they are tried again. */
export const ASYNC_JOB_OPTIONS = JSON.stringify({
  attempts: 3,
  backoff: { type: 'exponential', delay: 500, jitter: 0.5 },
  removeOnComplete: true,
  removeOnFail: { count: 5_000 },
  stackTraceLimit: 1,
  kl: 0,
});
