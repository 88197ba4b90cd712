import { type InvocationRecord, isMayflyError } from '@mayfly/contracts';
import type { Instruments } from '@mayfly/telemetry';
import type { JobView } from '../job-view.js';
import type { GuestCallReport } from '../pool/guest-image.js';
import { QUEUES, TRIGGERS } from './lanes.js';

const SECONDS_PER_US = 1e-6;
const PAGE_BYTES = 4096;

/** Counts one invocation that has its outcome. */
export function countCall(
  m: Instruments<'worker'>,
  { job, record, report }: { job: JobView; record: InvocationRecord; report?: GuestCallReport | undefined },
): void {
  const { outcome, tenant, timings, usage } = record;
  const trigger = TRIGGERS[job.lane];
  const totalS = timings.totalUs * SECONDS_PER_US;
  m.invokeDuration.record(totalS, trigger, outcome);
  if (outcome === 'succeeded') m.invocations.add(1, trigger);
  else m.errors.add(1, trigger, outcome);
  if (outcome === 'timeout') m.timeouts.add(1, trigger);
  if (record.state !== undefined) m.deadLettered.add(1, outcome);
  m.functionInvocations.add(1, tenant, record.function, outcome);
  m.functionDuration.record(totalS, tenant, record.function);
  m.queueDuration.record(timings.queueUs * SECONDS_PER_US, job.lane);
  m.overheadDuration.record((timings.totalUs - timings.runUs) * SECONDS_PER_US);
  m.phaseDuration.record(timings.queueUs * SECONDS_PER_US, 'queue');
  m.phaseDuration.record(timings.acquireUs * SECONDS_PER_US, 'acquire');
  if (report === undefined) return;

  m.phaseDuration.record(timings.restoreUs * SECONDS_PER_US, 'restore');
  m.phaseDuration.record(timings.runUs * SECONDS_PER_US, 'run');
  m.phaseDuration.record(timings.resultUs * SECONDS_PER_US, 'result');
  const cpuS = usage.cpuUs * SECONDS_PER_US;
  m.cpuUsage.record(cpuS);
  m.functionCpu.add(cpuS, tenant, record.function);
  m.memoryUsage.record(usage.dirtyPages * PAGE_BYTES);
  m.restoreDuration.record(timings.restoreUs * SECONDS_PER_US, usage.source);
  m.dirtyPages.record(usage.dirtyPages, usage.source);
  m.vmExits.add(usage.exits);
  if (usage.source !== 'warm') {
    m.coldstarts.add(1, usage.source);
    m.initDuration.record(timings.acquireUs * SECONDS_PER_US, usage.source);
  }
  countGuest(m, record, report);
}

/** What the reference host counts (guest-abi 13). */
function countGuest(
  m: Instruments<'worker'>,
  { entrypoint, outcome, timings, detail }: InvocationRecord,
  report: GuestCallReport,
): void {
  const inSandboxUs = timings.restoreUs + timings.runUs + timings.resultUs;
  m.guestCallDuration.record(inSandboxUs * SECONDS_PER_US, entrypoint);
  if (outcome === 'timeout' || outcome === 'canceled') m.guestCancellations.add(1);
  if (outcome === 'guest-error' && detail?.guestCode !== undefined)
    m.guestErrors.add(1, String(detail.guestCode));
  for (const { name, durationUs } of report.hostCallTimes)
    m.hostCallDuration.record(durationUs * SECONDS_PER_US, name);
}

/** Counts one job. `startedAt` in `performance.now()` milliseconds. */
export function countJob(m: Instruments<'worker'>, job: JobView, startedAt: number, error?: unknown): void {
  m.consumedMessages.add(1, QUEUES[job.lane], 'process');
  const errorType = error === undefined ? '' : errorWord(error);
  m.processDuration.record((performance.now() - startedAt) / 1000, QUEUES[job.lane], errorType);
}

/** A known error by its code; of an unknown one not even the name, which anything could be. */
export function errorWord(error: unknown): string {
  return isMayflyError(error) ? error.code : 'unknown';
}
