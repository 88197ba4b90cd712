import { createHash } from 'node:crypto';
import {
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
import { logTail, startOf } from './log-tail.js';
import type { GuestCallReport } from './pool/guest-image.js';
import type { Settlement } from './reply/delivery.js';

/** Of an outcome's text, which a guest may have chosen, that a record keeps. */
const DETAIL_BYTES = 4 * 1024;
const NOTHING = Buffer.alloc(0);

/** What is known of an invocation before it runs. */
export interface InvocationFacts {
  readonly invocationId: string;
  readonly tenant: string;
  readonly function: string;
  readonly version: number;
  readonly entrypoint: string;
  readonly returns: InvocationRecord['returns'];
  readonly replyToken?: string;
  readonly attempt: number;
  readonly workerId: string;
  readonly acceptedAtMs: number;
  /** `performance.now()` when this worker took it. */
  readonly takenAt: number;
}

/** When the parts of a run that the worker itself sees began and ended, in `performance.now()` milliseconds. */
export interface RunTimes {
  /** The sandbox was at hand. */
  readonly acquiredAt: number;
  readonly source: Usage['source'];
}

const NO_USAGE: Usage = { exits: 0, hostCalls: 0, dirtyPages: 0, source: 'warm' };

/** A guest ran, to whatever end. */
export function settleReport(facts: InvocationFacts, report: GuestCallReport, run: RunTimes): Settlement {
  const { phases } = report;
  const acquireUs = (run.acquiredAt - facts.takenAt) * 1000 + phases.queuedUs;
  const usage: Usage = {
    exits: report.exits,
    hostCalls: report.hostCalls,
    dirtyPages: report.dirtyPages,
    source: run.source,
  };
  const end = {
    acquireUs,
    restoreUs: phases.restoreUs,
    runUs: phases.runUs,
    usage,
    logTail: logTail(report),
  };
  if (report.outcome !== 'succeeded')
    return settle(facts, { ...end, outcome: report.outcome, detail: report.detail });
  const result = encodeResult(report.value);
  return 'tooLarge' in result
    ? settle(facts, { ...end, outcome: 'protocol', detail: result.tooLarge })
    : settle(facts, { ...end, outcome: 'succeeded', ...result });
}

/** No call ran: the version cannot, or the host could not. */
export function settleUnrun(
  facts: InvocationFacts,
  end: { readonly outcome: Outcome; readonly detail: OutcomeDetail; readonly logTail?: string },
): Settlement {
  const acquireUs = (performance.now() - facts.takenAt) * 1000;
  return settle(facts, { logTail: '', ...end, acquireUs, restoreUs: 0, runUs: 0, usage: NO_USAGE });
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
  readonly detail?: OutcomeDetail | undefined;
  readonly result?: ResultRef;
  readonly body?: Uint8Array;
  readonly acquireUs: number;
  readonly restoreUs: number;
  readonly runUs: number;
  readonly usage: Usage;
  readonly logTail: string;
}

function settle(facts: InvocationFacts, end: End): Settlement {
  const { replyToken, takenAt, ...named } = facts;
  const finishedAtMs = Date.now();
  const record: InvocationRecord = {
    v: 1,
    ...named,
    outcome: end.outcome,
    ...(end.detail === undefined ? {} : { detail: shortened(end.detail) }),
    ...(end.result === undefined ? {} : { result: end.result }),
    timings: timings(facts, end, finishedAtMs),
    usage: end.usage,
    logTail: end.logTail,
    finishedAtMs,
  };
  return { record, body: end.body ?? NOTHING, ...(replyToken === undefined ? {} : { replyToken }) };
}

/** The phases add up to the total: what no other phase accounts for is the result's. */
function timings(facts: InvocationFacts, end: End, finishedAtMs: number): Timings {
  const hereUs = (performance.now() - facts.takenAt) * 1000;
  // Two hosts' clocks may differ, so the time in the queue can only be shown as no less than none.
  const queueUs = Math.max(0, (finishedAtMs - facts.acceptedAtMs) * 1000 - hereUs);
  const acquireUs = Math.min(end.acquireUs, hereUs);
  const resultUs = Math.max(0, hereUs - acquireUs - end.restoreUs - end.runUs);
  const rounded = [queueUs, acquireUs, end.restoreUs, end.runUs, resultUs].map(Math.round) as Five;
  return {
    queueUs: rounded[0],
    acquireUs: rounded[1],
    restoreUs: rounded[2],
    runUs: rounded[3],
    resultUs: rounded[4],
    totalUs: rounded[0] + rounded[1] + rounded[2] + rounded[3] + rounded[4],
  };
}

type Five = [number, number, number, number, number];

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
