import { type InvocationRecord, OUTCOMES } from '@mayfly/contracts';
import type { GuestTrace } from '@mayfly/hypervisor';
import {
  ATTRIBUTES as A,
  type Attributes,
  preciseNowMs,
  type ResourceData,
  SPANS,
  type SpanData,
  type SpanKind,
  toEpochMs,
  unixNs,
} from '@mayfly/telemetry';
import type { JobView } from '../job-view.js';
import type { GuestCallReport } from '../pool/guest-image.js';
import type { CallTrace } from './call-trace.js';
import { guestSpans } from './guest-spans.js';
import { QUEUES, TRIGGERS } from './lanes.js';

const ERROR_TEXT_LENGTH = 256;
/** Further apart than this, the guest's clock and ours do not speak of the same run. */
const MAX_ENTRY_SKEW_NS = 50_000_000n;

/** A call that has its outcome. */
export interface EndedCall {
  readonly job: JobView;
  readonly record: InvocationRecord;
  /** Absent when no guest ran. */
  readonly report?: GuestCallReport | undefined;
  readonly trace: CallTrace;
  readonly resource: ResourceData;
}

/** The spans of a call, from what it left behind. */
export function callSpans(call: EndedCall): SpanData[] {
  const { job, record, report, trace, resource } = call;
  const { timings, outcome } = record;
  const endNs = unixNs(record.finishedAtMs);
  const startNs = endNs - us(timings.totalUs);
  const takenNs = startNs + us(timings.queueUs);
  const error = outcome === 'succeeded' ? undefined : errorText(record);
  const invocation: SpanData = {
    ...spanOf(trace, SPANS.invocation(record.function), 'server', startNs, endNs),
    ...{ spanId: trace.invocationSpanId, parentSpanId: trace.consumerSpanId, resource },
    attributes: invocationAttributes(call),
    ...(error !== undefined && { error }),
  };
  const child = (name: string, [from, to]: readonly [bigint, bigint], attributes: Attributes = {}) => ({
    ...spanOf(trace, name, 'internal', from, to),
    ...{ parentSpanId: trace.invocationSpanId, resource, attributes },
  });
  const spans = [
    consumerSpan(job, trace, { startNs: takenNs, endNs: unixNs(preciseNowMs()), error, record }),
    invocation,
    child(SPANS.queue, [startNs, takenNs]),
  ];
  if (report === undefined) return [...spans, child(SPANS.acquire, [takenNs, endNs])];

  const { restoreNs, runNs, runEndNs } = phasesOf(record, report.trace, startNs, endNs);
  const { exits, hostCalls, dirtyPages, source } = record.usage;
  const run = child(SPANS.run, [runNs, runEndNs], {
    [A.vmExits]: exits,
    [A.vmHostCalls]: hostCalls,
    [A.outcome]: outcome,
  });
  const guest = report.trace && guestSpans(report.trace, { traceId: trace.traceId, run, resource });
  return [
    ...spans,
    child(SPANS.acquire, [takenNs, restoreNs], { [A.vmSource]: source }),
    child(SPANS.restore, [restoreNs, runNs], { [A.vmSource]: source, [A.vmDirtyPages]: dirtyPages }),
    ...(guest ? [withGuest(run, guest), ...guest.spans] : [run]),
    child(SPANS.result, [runEndNs, endNs]),
  ];
}

/** An attempt that ended without an outcome: somebody will try again. */
export function unsettledSpan(
  job: JobView,
  trace: CallTrace,
  end: { readonly takenAt: number; readonly error: string },
): SpanData {
  const { takenAt, error } = end;
  const startNs = unixNs(toEpochMs(takenAt));
  return consumerSpan(job, trace, { startNs, endNs: unixNs(preciseNowMs()), error });
}

function consumerSpan(
  job: JobView,
  trace: CallTrace,
  end: {
    readonly startNs: bigint;
    readonly endNs: bigint;
    readonly error: string | undefined;
    readonly record?: InvocationRecord;
  },
): SpanData {
  const { parentSpanId, link } = trace;
  const { outcome } = end.record ?? {};
  // A fault of the guest is no fault of the worker: the message was processed.
  const error = outcome === undefined || OUTCOMES[outcome].origin === 'platform' ? end.error : undefined;
  return {
    ...spanOf(trace, SPANS.process(job.lane), 'consumer', end.startNs, end.endNs),
    spanId: trace.consumerSpanId,
    ...(parentSpanId !== undefined && { parentSpanId, isParentRemote: true }),
    ...(link && { links: [link] }),
    attributes: {
      [A.messagingSystem]: 'bullmq',
      [A.messagingDestination]: QUEUES[job.lane],
      [A.messagingOperation]: 'process',
      [A.messagingOperationType]: 'process',
      [A.messagingMessageId]: job.id,
      [A.lane]: job.lane,
      [A.attempt]: job.attempt,
      ...(error !== undefined && { [A.errorType]: outcome ?? 'host-fault' }),
    },
    ...(error !== undefined && { error }),
  };
}

function spanOf(trace: CallTrace, name: string, kind: SpanKind, startUnixNs: bigint, endUnixNs: bigint) {
  return {
    traceId: trace.traceId,
    spanId: trace.nextSpanId(),
    ...(trace.traceState !== undefined && { traceState: trace.traceState }),
    ...{ name, kind, startUnixNs, endUnixNs },
  };
}

function invocationAttributes({ job, record }: EndedCall): Attributes {
  const { timings, usage, outcome } = record;
  return {
    [A.faasTrigger]: TRIGGERS[job.lane],
    [A.faasInvocationId]: record.invocationId,
    [A.faasColdstart]: usage.source !== 'warm',
    [A.tenant]: record.tenant,
    [A.entrypoint]: record.entrypoint,
    [A.outcome]: outcome,
    [A.attempt]: record.attempt,
    [A.worker]: record.workerId,
    [A.vmSource]: usage.source,
    [A.vmExits]: usage.exits,
    [A.vmHostCalls]: usage.hostCalls,
    [A.vmDirtyPages]: usage.dirtyPages,
    [A.vmCpuUs]: usage.cpuUs,
    [A.phaseQueueUs]: timings.queueUs,
    [A.phaseAcquireUs]: timings.acquireUs,
    [A.phaseRestoreUs]: timings.restoreUs,
    [A.phaseRunUs]: timings.runUs,
    [A.phaseResultUs]: timings.resultUs,
    ...(outcome !== 'succeeded' && { [A.errorType]: outcome }),
  };
}

function errorText({ outcome, detail }: InvocationRecord): string {
  return (detail?.message ?? OUTCOMES[outcome].title).slice(0, ERROR_TEXT_LENGTH);
}

/**
 * When restore and run began and the run ended. Where the guest's clock was read, the run begins at its first entry, so
 * that the guest's own spans lie inside it.
 */
function phasesOf(
  { timings }: InvocationRecord,
  guest: GuestTrace | undefined,
  startNs: bigint,
  endNs: bigint,
) {
  const planned = startNs + us(timings.queueUs + timings.acquireUs + timings.restoreUs);
  const earliest = startNs + us(timings.queueUs + timings.restoreUs);
  const latest = endNs - us(timings.runUs);
  const entered = guest?.enteredUnixNs;
  const isNear =
    entered !== undefined && entered - planned < MAX_ENTRY_SKEW_NS && planned - entered < MAX_ENTRY_SKEW_NS;
  const runNs = isNear ? clamp(entered, earliest, latest) : planned;
  return { restoreNs: runNs - us(timings.restoreUs), runNs, runEndNs: runNs + us(timings.runUs) };
}

function clamp(value: bigint, lowest: bigint, highest: bigint): bigint {
  if (value < lowest) return lowest;
  return value > highest ? highest : value;
}

/** The run with what the guest said outside of its own spans, and how much of what it said is missing. */
function withGuest(run: SpanData, guest: ReturnType<typeof guestSpans>): SpanData {
  const { events, droppedSpans, droppedEvents } = guest;
  return {
    ...run,
    events,
    attributes: {
      ...run.attributes,
      ...(droppedSpans > 0 && { [A.guestSpansDropped]: droppedSpans }),
      ...(droppedEvents > 0 && { [A.guestEventsDropped]: droppedEvents }),
    },
  };
}

function us(microseconds: number): bigint {
  return BigInt(microseconds) * 1000n;
}
