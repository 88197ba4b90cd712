import { ASYNC_QUEUE, SYNC_QUEUE, type TraceRef } from '@mayfly/contracts';
import {
  ATTRIBUTES as A,
  type Attributes,
  formatTraceparent,
  newSpanId,
  preciseNowMs,
  SPANS,
  type SpanData,
  type TraceContext,
  type Tracing,
  unixNs,
} from '@mayfly/telemetry';
import type { QueueName } from '../dispatch/job-producer.js';

const QUEUES = { sync: SYNC_QUEUE, async: ASYNC_QUEUE } as const;

/** What an accepted call tells of itself on its way. */
export interface CallTrace {
  readonly traceId: string;
  invokes(functionName: string): void;
  /** The call may come in, or not. */
  decided(decision: 'admitted' | 'refused', queueDepth?: number): void;
  /** The call enters its lane. @returns what its job carries of the trace. */
  sends(lane: QueueName, bodyBytes: number): JobContext;
  /** The job of the call is in its queue; without an id it could not be added. */
  sent(jobId: string | undefined): void;
  /** The worker has decided whether the trace is kept; both ends keep it, or none. */
  answered(trace: TraceRef | undefined): void;
  /** No worker answered: a failure that only this gateway knows of. */
  lost(): TraceRef;
}

export interface JobContext {
  readonly traceparent: string;
  readonly tracestate?: string;
}

interface Admission {
  readonly atMs: number;
  readonly decision: 'admitted' | 'refused';
  readonly queueDepth: number | undefined;
}

interface Send {
  readonly lane: QueueName;
  readonly spanId: string;
  readonly startedMs: number;
  readonly bodyBytes: number;
  endedMs?: number;
  jobId?: string;
  failed?: true;
}

/** What an HTTP request was, as its span says. */
export interface EndedRequest {
  readonly method: string;
  readonly route: string;
  readonly path: string;
  readonly status: number;
  readonly tenant: string;
}

/** One request on its way: what its spans are made of, if any are made. */
export class RequestTrace implements CallTrace {
  readonly traceId: string;
  readonly #tracing: Tracing;
  readonly #parent: TraceContext | undefined;
  readonly #sampled: boolean;
  readonly #spanId = newSpanId();
  readonly #startedMs = preciseNowMs();
  #invokedName: string | undefined;
  #admission: Admission | undefined;
  #send: Send | undefined;
  /** What the worker or this gateway decided at the end of the call. */
  #kept: boolean | undefined;

  constructor(tracing: Tracing, parent: TraceContext | undefined) {
    const { traceId, sampled } = tracing.sampling.begin(parent);
    this.traceId = traceId;
    this.#tracing = tracing;
    this.#parent = parent;
    this.#sampled = sampled;
  }

  invokes(functionName: string): void {
    this.#invokedName = functionName;
  }

  decided(decision: Admission['decision'], queueDepth?: number): void {
    this.#admission = { atMs: preciseNowMs(), decision, queueDepth };
    // What was refused was not sent.
    if (decision === 'refused') this.#send = undefined;
  }

  sends(lane: QueueName, bodyBytes: number): JobContext {
    const spanId = newSpanId();
    this.#send = { lane, spanId, startedMs: preciseNowMs(), bodyBytes };
    const traceState = this.#parent?.traceState;
    return {
      traceparent: formatTraceparent({ traceId: this.traceId, spanId, sampled: this.#sampled }),
      ...(traceState !== undefined && { tracestate: traceState }),
    };
  }

  sent(jobId: string | undefined): void {
    if (this.#send === undefined) return;
    this.#send.endedMs = preciseNowMs();
    if (jobId === undefined) this.#send.failed = true;
    else this.#send.jobId = jobId;
  }

  answered(trace: TraceRef | undefined): void {
    this.#kept = trace?.sampled;
  }

  lost(): TraceRef {
    this.#kept = this.#sampled || this.#keeps(true);
    return { id: this.traceId, sampled: this.#kept };
  }

  /** The response is on its way, or its reader has gone. */
  end(request: EndedRequest): void {
    const kept = this.#sampled || (this.#kept ?? this.#keeps(request.status >= 500));
    if (kept) for (const span of this.#spans(request)) this.#tracing.export(span);
  }

  #keeps(failed: boolean): boolean {
    return this.#tracing.sampling.keeps({ failed, totalMs: preciseNowMs() - this.#startedMs });
  }

  #spans(request: EndedRequest): SpanData[] {
    const endedMs = preciseNowMs();
    const spans = [this.#requestSpan(request, endedMs)];
    const admission = this.#admission;
    if (admission)
      spans.push({
        ...this.#child(SPANS.admission, 'internal', this.#startedMs, admission.atMs),
        attributes: {
          [A.quotaDecision]: admission.decision,
          ...(admission.queueDepth !== undefined && { [A.queueDepth]: admission.queueDepth }),
        },
        ...(admission.decision === 'refused' && { error: 'The call was not let in' }),
      });
    const send = this.#send;
    if (send)
      spans.push({
        ...this.#child(SPANS.send(send.lane), 'producer', send.startedMs, send.endedMs ?? endedMs),
        spanId: send.spanId,
        attributes: sendAttributes(send),
        ...(send.failed && { error: 'The job could not be added' }),
      });
    return spans;
  }

  #requestSpan({ method, route, path, status, tenant }: EndedRequest, endedMs: number): SpanData {
    const parent = this.#parent;
    return {
      ...this.#span(SPANS.request(method, route), 'server', this.#startedMs, endedMs),
      spanId: this.#spanId,
      ...(parent && { parentSpanId: parent.spanId, isParentRemote: true }),
      attributes: {
        [A.httpMethod]: method,
        ...(route !== '' && { [A.httpRoute]: route }),
        [A.httpStatus]: status,
        [A.urlPath]: path,
        ...(tenant !== '' && { [A.tenant]: tenant }),
        ...(this.#invokedName !== undefined && { [A.faasInvokedName]: this.#invokedName }),
        ...(status >= 500 && { [A.errorType]: String(status) }),
      },
      ...(status >= 500 && { error: `Answered with ${status}` }),
    };
  }

  #child(name: string, kind: SpanData['kind'], startMs: number, endMs: number) {
    return { ...this.#span(name, kind, startMs, endMs), parentSpanId: this.#spanId };
  }

  #span(name: string, kind: SpanData['kind'], startMs: number, endMs: number) {
    const traceState = this.#parent?.traceState;
    return {
      ...{ traceId: this.traceId, spanId: newSpanId(), name, kind },
      ...(traceState !== undefined && { traceState }),
      ...{ startUnixNs: unixNs(startMs), endUnixNs: unixNs(endMs), attributes: {} },
    };
  }
}

function sendAttributes({ lane, jobId, bodyBytes }: Send): Attributes {
  return {
    [A.messagingSystem]: 'bullmq',
    [A.messagingDestination]: QUEUES[lane],
    [A.messagingOperation]: 'add',
    [A.messagingOperationType]: 'send',
    [A.messagingBodySize]: bodyBytes,
    [A.lane]: lane,
    ...(jobId !== undefined && { [A.messagingMessageId]: jobId }),
  };
}
