import { ASYNC_QUEUE, SYNC_QUEUE } from '@mayfly/contracts';
import type { DeadLetters } from '@mayfly/queue';
import type { Metrics } from '@mayfly/telemetry';
import type { Admission } from '../dispatch/admission.js';
import type { JobProducer } from '../dispatch/job-producer.js';

const LANES = [
  ['sync', SYNC_QUEUE],
  ['async', ASYNC_QUEUE],
] as const;
const WAITING_STATES = ['waiting', 'prioritized', 'delayed'];
/** Two who collect at once ask Redis once. */
const FRESH_MS = 500;

export interface ObservedPlatform {
  readonly producer: Pick<JobProducer, 'counts' | 'oldestWaitingSinceMs'>;
  readonly admission: Pick<Admission, 'inFlightByTenant'>;
  readonly workersAlive: () => Promise<number>;
  readonly deadLetters: Pick<DeadLetters, 'summary'>;
}

/** Queues, workers and calls in flight, looked up at each collection. What Redis does not tell is missing then. */
export function observePlatform(metrics: Metrics<'gateway'>, parts: ObservedPlatform): void {
  const { producer, admission, workersAlive, deadLetters } = parts;
  const m = metrics.instruments;
  metrics.observe(['tenantInFlight'], () => {
    for (const [tenant, calls] of admission.inFlightByTenant()) m.tenantInFlight.add(calls, tenant);
  });

  const look = shared(FRESH_MS, () =>
    Promise.all(
      LANES.map(async ([lane, queue]) => ({
        ...{ lane, queue, counts: await producer.counts(lane) },
        sinceMs: await producer.oldestWaitingSinceMs(lane),
      })),
    ),
  );
  metrics.observe(['queueDepth', 'queueOldestAge', 'queueJobs'], async () => {
    for (const { lane, queue, counts, sinceMs } of await look()) {
      const waiting = WAITING_STATES.reduce((sum, state) => sum + (counts[state] ?? 0), 0);
      m.queueDepth.add(waiting, lane);
      m.queueOldestAge.add(sinceMs === undefined ? 0 : Math.max(0, Date.now() - sinceMs) / 1000, lane);
      for (const [state, count] of Object.entries(counts)) m.queueJobs.add(count, queue, state);
    }
  });
  const dead = shared(FRESH_MS, () => deadLetters.summary());
  metrics.observe(['deadLetterDepth', 'deadLetterOldestAge'], async () => {
    const { depth, oldestAtMs } = await dead();
    m.deadLetterDepth.add(depth);
    m.deadLetterOldestAge.add(oldestAtMs === undefined ? 0 : Math.max(0, Date.now() - oldestAtMs) / 1000);
  });
  const alive = shared(FRESH_MS, workersAlive);
  metrics.observe(['workersAlive'], async () => m.workersAlive.add(await alive()));
}

/** The result of a look-up, for all who ask within `freshMs`. */
function shared<T>(freshMs: number, look: () => Promise<T>): () => Promise<T> {
  let last: { readonly result: Promise<T>; readonly atMs: number } | undefined;
  return () => {
    const nowMs = performance.now();
    if (last === undefined || nowMs - last.atMs > freshMs) last = { result: look(), atMs: nowMs };
    return last.result;
  };
}
