import type { AcceptedRecord, Attempt, InvocationRecord } from '@mayfly/contracts';
import type { RunState } from '@mayfly/queue';
import type { Static } from 'typebox';
import type { InvocationSchema } from '../schemas/invocation.js';
import { isTerminal, type KnownInvocation } from './invocation-store.js';

export type InvocationView = Static<typeof InvocationSchema>;

/** What `GET /v1/invocations/{id}` answers. `running`: whether a worker has taken a call that has not ended. */
export function describeInvocation(
  known: KnownInvocation,
  running: boolean,
  run?: RunState,
): InvocationView | undefined {
  if (known.ended !== undefined) return describeEnded(known.ended, known.accepted);
  return known.accepted === undefined
    ? undefined
    : describeAccepted(known.accepted, run?.state ?? (running ? 'running' : 'queued'), run);
}

export function describeAccepted(
  accepted: AcceptedRecord,
  state: 'queued' | 'starting' | 'running',
  run?: RunState,
): InvocationView {
  const { invocationId, version, entrypoint, acceptedAtMs } = accepted;
  return {
    invocationId,
    state,
    function: accepted.function,
    version,
    ...(accepted.alias !== undefined && { alias: accepted.alias }),
    entrypoint,
    ...(run && {
      attempt: run.attempt,
      ...(run.past.length > 0 && { attempts: run.past.map(shownAttempt) }),
      ...(run.nextAttemptAtMs !== undefined && { nextAttemptAtMs: run.nextAttemptAtMs }),
    }),
    ...(accepted.origin !== undefined && { origin: accepted.origin }),
    acceptedAtMs: Math.floor(acceptedAtMs),
    ...(accepted.traceId !== undefined && { traceId: accepted.traceId }),
    links: linksOf(invocationId),
  };
}

function describeEnded(record: InvocationRecord, accepted?: AcceptedRecord): InvocationView {
  const traceId = record.trace?.id ?? accepted?.traceId;
  const { invocationId, version, entrypoint, outcome, timings, usage, logTail, attempt } = record;
  const hostFault = outcome === 'host-fault';
  return {
    invocationId,
    state: stateOf(record),
    function: record.function,
    version,
    ...(record.alias !== undefined && { alias: record.alias }),
    entrypoint,
    outcome,
    ...(record.detail !== undefined && (!hostFault || isTerminal(record)) && { detail: record.detail }),
    timings,
    usage,
    logTail,
    attempt,
    ...(record.attempts && { attempts: record.attempts.map(shownAttempt) }),
    ...(accepted?.origin !== undefined && { origin: accepted.origin }),
    acceptedAtMs: Math.floor(record.acceptedAtMs),
    finishedAtMs: Math.floor(record.finishedAtMs),
    ...(traceId !== undefined && { traceId }),
    links: linksOf(invocationId),
  };
}

/** What a host fault says is for the log of the platform, as in the record. */
function shownAttempt({ detail, ...attempt }: Attempt): Attempt {
  return attempt.outcome === 'host-fault' || detail === undefined ? attempt : { ...attempt, detail };
}

function stateOf(record: InvocationRecord): InvocationView['state'] {
  const { outcome } = record;
  if (record.state !== undefined) return record.state;
  if (isTerminal(record) && record.code === 'MAYFLY_ERR_GATEWAY_QUEUE_TIMEOUT') return 'expired';
  if (outcome === 'succeeded' || outcome === 'canceled') return outcome;
  return outcome === 'timeout' ? 'timed_out' : 'failed';
}

function linksOf(invocationId: string) {
  const self = `/v1/invocations/${invocationId}`;
  return { self, result: `${self}/result`, logs: `${self}/logs` };
}
