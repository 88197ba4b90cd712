import type { Outcome, OutcomeDetail, TypedValue } from '@mayfly/contracts';
import type { CallState, HostCallTime } from './call-state.js';
import type { GuestLogRecord } from './codec/guest-log.js';
import type { Fault } from './faults.js';
import type { GuestTrace } from './trace/types.js';

/** How a call ended and what it cost. Faults of the guest are data here, never a rejection. */
export interface CallReport {
  readonly outcome: Outcome;
  /** When the outcome is `succeeded`. */
  readonly value?: TypedValue;
  /** When it is not. */
  readonly detail?: OutcomeDetail;
  /** At most 1,000 records and 256 KiB. */
  readonly logs: readonly GuestLogRecord[];
  /** Log records beyond the caps. */
  readonly logsDropped: number;
  /** What the guest gave to the built-in `HostPrint`; at most 64 Ki UTF-16 units. */
  readonly printed: string;
  /** What the guest sent to port 103, character by character; at most 16 Ki UTF-16 units. */
  readonly debugPrinted: string;
  readonly phases: {
    /** Request posted → taken by a vCPU thread. */
    readonly queuedUs: number;
    readonly restoreUs: number;
    /** Time in the guest, without the time of host functions. */
    readonly runUs: number;
    /** Between the guest's first entry and its end, without `runUs`: host functions and the ways there and back. */
    readonly hostUs: number;
    /** Guest halted → result read and decoded. */
    readonly resultUs: number;
  };
  /** VM exits. */
  readonly exits: number;
  readonly hostCalls: number;
  /** The first 1,000 of those to host functions that exist. */
  readonly hostCallTimes: readonly HostCallTime[];
  /** Pages that the restore copied back. */
  readonly dirtyPages: number;
  /** For a call with the option `trace`. */
  readonly trace?: GuestTrace;
}

/** What a call ended with: its value, or why there is none. */
export type CallEnd = { readonly value: TypedValue } | Fault;

export function callReport(end: CallEnd, state: CallState, resultMs: number): CallReport {
  const isValue = 'value' in end;
  // One literal and few assignments: what is built from spreads takes V8's slow path, on every call.
  const report: Draft<CallReport> = {
    outcome: isValue ? 'succeeded' : end.outcome,
    logs: state.logs,
    logsDropped: state.logsDropped,
    printed: state.printed.toString(),
    debugPrinted: state.debugPrinted.toString(),
    phases: {
      queuedUs: state.queuedNs / 1000,
      restoreUs: state.restoreNs / 1000,
      runUs: state.runNs / 1000,
      hostUs: state.hostMs * 1000,
      resultUs: resultMs * 1000,
    },
    exits: state.exits,
    hostCalls: state.hostCalls,
    hostCallTimes: state.hostCallTimes,
    dirtyPages: state.dirtyPages,
  };
  if (isValue) report.value = end.value;
  else if (end.detail !== undefined) report.detail = end.detail;
  if (state.trace) report.trace = state.trace.finish();
  return report;
}

type Draft<T> = { -readonly [K in keyof T]: T[K] };
