import type { FunctionRef, InvocationItem, InvocationRecord } from '@mayfly/contracts';
import type { Telemetry } from '@mayfly/telemetry';
import type { JobView } from '../job-view.js';
import type { GuestCallReport } from '../pool/guest-image.js';
import type { Settlement } from '../reply/delivery.js';
import type { TraceDecision } from '../settlement.js';
import { countCall, countJob, errorWord } from './call-metrics.js';
import { callSpans, unsettledSpan } from './call-spans.js';
import { CallTrace, traceOf } from './call-trace.js';
import { FunctionResources } from './function-resources.js';
import { guestLogs } from './guest-logs.js';

export interface SettledCall {
  readonly job: JobView;
  readonly ref: FunctionRef;
  readonly settlement: Settlement;
  readonly trace: TraceDecision | undefined;
  /** Absent when no guest ran. */
  readonly report?: GuestCallReport | undefined;
}

/**
 * What the processor tells of its jobs and calls. Everything is told after the fact, once the answer is on its way;
 * without a collector it is a few counters.
 */
export class CallTelemetry {
  readonly #telemetry: Telemetry<'worker'>;
  readonly #resources: FunctionResources;
  readonly #onError: (error: unknown) => void;

  /** @param onError a call's telemetry failed, and is lost; the call is not. */
  constructor(telemetry: Telemetry<'worker'>, onError: (error: unknown) => void) {
    this.#telemetry = telemetry;
    this.#onError = onError;
    this.#resources = new FunctionResources(telemetry.resource);
  }

  /** The trace of an attempt, if there is one. */
  begin(item: Pick<InvocationItem, 'traceparent' | 'tracestate'>, job: JobView): TraceDecision | undefined {
    const { tracing } = this.#telemetry;
    if (tracing === undefined && item.traceparent === undefined) return undefined;
    return traceOf(tracing, { item, lane: job.lane, attempt: job.attempt });
  }

  /** Whether the guest is asked for its own spans: the head has decided that the trace is exported. */
  wantsGuestTrace(trace: TraceDecision | undefined): boolean {
    return trace instanceof CallTrace && trace.sampled;
  }

  /** Whether the version of a call was initialised already. */
  versionFound(isReady: boolean): void {
    const { snapshotHits, snapshotMisses } = this.#telemetry.metrics.instruments;
    (isReady ? snapshotHits : snapshotMisses).add(1);
  }

  /** A call has its outcome, and its answer is on its way. Never throws. */
  ended(call: SettledCall): void {
    try {
      this.#ended(call);
    } catch (error) {
      this.#onError(error);
    }
  }

  #ended(call: SettledCall): void {
    const { job, ref, report, settlement } = call;
    const { record } = settlement;
    const { metrics, tracing, exportLog } = this.#telemetry;
    countCall(metrics.instruments, { job, record, report });
    const trace = call.trace instanceof CallTrace ? call.trace : undefined;
    if (tracing && trace && record.trace?.sampled === true) {
      const resource = this.#resources.of(ref);
      for (const span of callSpans({ job, record, report, trace, resource })) tracing.export(span);
    }
    if (exportLog)
      for (const log of guestLogs({ record, report, trace, resource: this.#resources.of(ref) }))
        exportLog(log);
  }

  /** An attempt ended, and another one follows. */
  triedAgain(
    job: JobView,
    { outcome, detail, attempt }: Pick<InvocationRecord, 'outcome' | 'detail' | 'attempt'>,
    { trace, takenAt }: { readonly trace?: TraceDecision | undefined; readonly takenAt: number },
  ): void {
    const { tracing, metrics } = this.#telemetry;
    metrics.instruments.retries.add(1, outcome);
    const error = detail?.message ?? outcome;
    if (tracing && trace instanceof CallTrace && trace.isKept({ failed: true, totalMs: 0 }))
      tracing.export(unsettledSpan({ ...job, attempt }, trace, { takenAt, error }));
  }

  jobEnded(job: JobView, startedAt: number, error?: unknown): void {
    countJob(this.#telemetry.metrics.instruments, job, startedAt, error);
  }

  hostFault(error: unknown): void {
    this.#telemetry.metrics.instruments.hostFaults.add(1, errorWord(error));
  }
}
