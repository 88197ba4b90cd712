import { createHash } from 'node:crypto';
import {
  type AliasRef,
  type InvocationItem,
  type InvocationRecord,
  isMayflyError,
  LIMITS,
  type Outcome,
  type OutcomeDetail,
  type ResultRef,
  type Timings,
  type TypedValue,
  toJsonValue,
  type Usage,
} from '@mayfly/contracts';
import type { CallClass } from '@mayfly/queue';
import { preciseNowMs } from '@mayfly/telemetry';
import { logTail, startOf } from './log-tail.js';
import type { GuestCallReport } from './pool/guest-image.js';
import type { Settlement } from './reply/delivery.js';
import { bytesOfValue } from './value-bytes.js';

/** Of an outcome's text, which a guest may have chosen, that a record keeps. */
const DETAIL_BYTES = 4 * 1024;
const NOTHING = Buffer.alloc(0);
const MIB = 1024 * 1024;

/** What is known of an invocation before it runs. */
export interface InvocationFacts {
  readonly invocationId: string;
  /** How it came in. */
  readonly class: CallClass;
  readonly tenant: string;
  readonly function: string;
  readonly version: number;
  /** That chose the version; absent: none did. */
  readonly alias?: AliasRef | undefined;
  readonly entrypoint: string;
  readonly returns: InvocationRecord['returns'];
  readonly replyToken?: string | undefined;
  readonly storeResult?: InvocationItem['storeResult'] | undefined;
  readonly attempt: number;
  readonly workerId: string;
  readonly acceptedAtMs: number;
  /** What its sandbox has, in all. */
  readonly memoryBytes: number;
  /** Of the values that it gets. */
  readonly inputBytes: number;
  /** `performance.now()` when this worker took it. */
  readonly takenAt: number;
  /** Absent when nobody traces. */
  readonly trace?: TraceDecision | undefined;
}

/** Where the spans of an invocation go, and whether any are made, which its end decides, too. */
export interface TraceDecision {
  readonly traceId: string;
  isKept(end: { readonly failed: boolean; readonly totalMs: number }): boolean;
}

/** When the parts of a run that the worker itself sees began and ended, in `performance.now()` milliseconds. */
export interface RunTimes {
  /** The sandbox was at hand. */
  readonly acquiredAt: number;
  readonly source: Usage['source'];
}

const NO_USAGE: Usage = { cpuUs: 0, exits: 0, hostCalls: 0, dirtyPages: 0, source: 'warm' };

/** A guest ran, to whatever end. */
export function settleReport(facts: InvocationFacts, report: GuestCallReport, run: RunTimes): Settlement {
  const { phases } = report;
  const result = report.outcome === 'succeeded' ? encodeResult(report.value) : undefined;
  const isTooLarge = result !== undefined && 'tooLarge' in result;
  return settle(facts, {
    outcome: isTooLarge ? 'protocol' : report.outcome,
    detail: isTooLarge ? result.tooLarge : report.detail,
    result: isTooLarge ? undefined : result?.result,
    body: isTooLarge ? undefined : result?.body,
    acquireUs: (run.acquiredAt - facts.takenAt) * 1000 + phases.queuedUs,
    restoreUs: phases.restoreUs,
    runUs: phases.runUs + phases.hostUs,
    usage: {
      cpuUs: Math.round(phases.runUs),
      exits: report.exits,
      hostCalls: report.hostCalls,
      dirtyPages: report.dirtyPages,
      source: run.source,
      memoryMibUs: Math.round((facts.memoryBytes / MIB) * (phases.runUs + phases.hostUs)),
      inputBytes: facts.inputBytes,
      outputBytes: isTooLarge || result === undefined ? 0 : bytesOfValue(report.value),
    },
    logTail: logTail(report),
  });
}

/** No call ran: the version cannot, or the host could not. */
export function settleUnrun(
  facts: InvocationFacts,
  end: { readonly outcome: Outcome; readonly detail: OutcomeDetail; readonly logTail?: string },
): Settlement {
  const acquireUs = (performance.now() - facts.takenAt) * 1000;
  return settle(facts, {
    outcome: end.outcome,
    detail: end.detail,
    result: undefined,
    body: undefined,
    acquireUs,
    restoreUs: 0,
    runUs: 0,
    usage: NO_USAGE,
    logTail: end.logTail ?? '',
  });
}

/** What a record says of a host fault: a known error by its code, and nothing of an unknown one. */
export function hostFault(error: unknown): { outcome: 'host-fault'; detail: OutcomeDetail } {
  const message = isMayflyError(error)
    ? `${error.definition.title} (${error.code})`
    : 'The host failed unexpectedly';
  return { outcome: 'host-fault', detail: { message } };
}

interface End {
  readonly outcome: Outcome;
  readonly detail: OutcomeDetail | undefined;
  readonly result: ResultRef | undefined;
  readonly body: Uint8Array | undefined;
  readonly acquireUs: number;
  readonly restoreUs: number;
  readonly runUs: number;
  readonly usage: Usage;
  readonly logTail: string;
}

/** Every call passes here: literals and assignments, since V8 builds objects from spreads the slow way. */
function settle(facts: InvocationFacts, end: End): Settlement {
  const finishedAtMs = preciseNowMs();
  const phases = timings(facts, end, finishedAtMs);
  const record: Draft<InvocationRecord> = {
    v: 1,
    invocationId: facts.invocationId,
    tenant: facts.tenant,
    function: facts.function,
    version: facts.version,
    entrypoint: facts.entrypoint,
    returns: facts.returns,
    attempt: facts.attempt,
    workerId: facts.workerId,
    acceptedAtMs: facts.acceptedAtMs,
    outcome: end.outcome,
    timings: phases,
    usage: end.usage,
    logTail: end.logTail,
    finishedAtMs,
  };
  if (facts.alias !== undefined) record.alias = facts.alias.name;
  if (end.detail !== undefined) record.detail = shortened(end.detail);
  if (end.result !== undefined) record.result = end.result;
  if (facts.trace !== undefined) {
    const ended = { failed: end.outcome !== 'succeeded', totalMs: phases.totalUs / 1000 };
    record.trace = { id: facts.trace.traceId, sampled: facts.trace.isKept(ended) };
  }
  const settlement: Draft<Settlement> = { record, body: end.body ?? NOTHING, class: facts.class };
  if (facts.replyToken !== undefined) settlement.replyToken = facts.replyToken;
  if (facts.storeResult !== undefined) settlement.storeResult = facts.storeResult;
  return settlement;
}

type Draft<T> = { -readonly [K in keyof T]: T[K] };

/** The phases add up to the total: what no other phase accounts for is the result's. */
function timings(facts: InvocationFacts, end: End, finishedAtMs: number): Timings {
  const hereUs = (performance.now() - facts.takenAt) * 1000;
  // Two hosts' clocks may differ, so the time in the queue can only be shown as no less than none.
  const queueUs = Math.max(0, (finishedAtMs - facts.acceptedAtMs) * 1000 - hereUs);
  const acquireUs = Math.min(end.acquireUs, hereUs);
  const resultUs = Math.max(0, hereUs - acquireUs - end.restoreUs - end.runUs);
  const rounded = {
    queueUs: Math.round(queueUs),
    acquireUs: Math.round(acquireUs),
    restoreUs: Math.round(end.restoreUs),
    runUs: Math.round(end.runUs),
    resultUs: Math.round(resultUs),
    totalUs: 0,
  };
  rounded.totalUs =
    rounded.queueUs + rounded.acquireUs + rounded.restoreUs + rounded.runUs + rounded.resultUs;
  return rounded;
}

function shortened(detail: OutcomeDetail): OutcomeDetail {
  return { ...detail, message: startOf(detail.message, DETAIL_BYTES) };
}

type EncodedResult =
  | { readonly result: ResultRef; readonly body: Uint8Array }
  | { readonly tooLarge: OutcomeDetail };

function encodeResult(value: TypedValue | undefined): EncodedResult {
  if (value === undefined) return { result: { kind: 'inline', value: { type: 'void' } }, body: NOTHING };
  if (value.type !== 'string' && value.type !== 'bytes')
    return { result: { kind: 'inline', value: toJsonValue(value) }, body: NOTHING };
  const lengthBytes = Buffer.byteLength(value.value);
  if (lengthBytes > LIMITS.resultBytes)
    return {
      tooLarge: {
        message: `The result has ${lengthBytes} bytes; the limit resultBytes is ${LIMITS.resultBytes}`,
      },
    };
  if (lengthBytes <= LIMITS.inlineBytes)
    return { result: { kind: 'inline', value: toJsonValue(value) }, body: NOTHING };
  const body = value.type === 'string' ? Buffer.from(value.value, 'utf8') : value.value;
  const sha256 = createHash('sha256').update(body).digest('hex');
  return { result: { kind: 'blob', type: value.type, sha256, lengthBytes }, body };
}
