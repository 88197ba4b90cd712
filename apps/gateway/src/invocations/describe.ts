import type { AcceptedRecord, InvocationRecord } from '@mayfly/contracts';
import type { Static } from 'typebox';
import type { InvocationSchema } from '../schemas/invocation.js';
import { isTerminal, type KnownInvocation } from './invocation-store.js';

export type InvocationView = Static<typeof InvocationSchema>;

/** What `GET /v1/invocations/{id}` answers. `running`: whether a worker has taken a call that has not ended. */
export function describeInvocation(known: KnownInvocation, running: boolean): InvocationView | undefined {
  if (known.ended !== undefined) return describeEnded(known.ended, known.accepted);
  return known.accepted === undefined
    ? undefined
    : describeAccepted(known.accepted, running ? 'running' : 'queued');
}

export function describeAccepted(accepted: AcceptedRecord, state: 'queued' | 'running'): InvocationView {
  const { invocationId, version, entrypoint, acceptedAtMs } = accepted;
  return {
    invocationId,
    state,
    function: accepted.function,
    version,
    ...(accepted.alias !== undefined && { alias: accepted.alias }),
    entrypoint,
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
    acceptedAtMs: Math.floor(record.acceptedAtMs),
    finishedAtMs: Math.floor(record.finishedAtMs),
    ...(traceId !== undefined && { traceId }),
    links: linksOf(invocationId),
  };
}

function stateOf(record: InvocationRecord): InvocationView['state'] {
  const { outcome } = record;
  if (isTerminal(record) && record.code === 'MAYFLY_ERR_GATEWAY_QUEUE_TIMEOUT') return 'expired';
  if (outcome === 'succeeded' || outcome === 'canceled') return outcome;
  return outcome === 'timeout' ? 'timed_out' : 'failed';
}

function linksOf(invocationId: string) {
  const self = `/v1/invocations/${invocationId}`;
  return { self, result: `${self}/result`, logs: `${self}/logs` };
}
