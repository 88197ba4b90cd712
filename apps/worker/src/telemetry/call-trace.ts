import type { InvocationItem } from '@mayfly/contracts';
import {
  type CallEnd,
  newSpanId,
  newTraceId,
  parseTraceContext,
  type SpanLink,
  type Tracing,
} from '@mayfly/telemetry';
import type { Lane } from '../permits.js';
import type { TraceDecision } from '../settlement.js';

/** Where the spans of one attempt at an invocation go. */
export class CallTrace implements TraceDecision {
  readonly traceId: string;
  /** The head's decision; the end may still decide to keep what it left out. */
  readonly sampled: boolean;
  readonly parentSpanId: string | undefined;
  readonly traceState: string | undefined;
  readonly link: SpanLink | undefined;
  readonly consumerSpanId = newSpanId();
  readonly invocationSpanId = newSpanId();
  readonly #tracing: Tracing;

  constructor(
    tracing: Tracing,
    parts: Pick<CallTrace, 'traceId' | 'sampled' | 'parentSpanId' | 'traceState' | 'link'>,
  ) {
    this.#tracing = tracing;
    this.traceId = parts.traceId;
    this.sampled = parts.sampled;
    this.parentSpanId = parts.parentSpanId;
    this.traceState = parts.traceState;
    this.link = parts.link;
  }

  nextSpanId(): string {
    return newSpanId();
  }

  isKept(end: CallEnd): boolean {
    return this.sampled || this.#tracing.sampling.keeps(end);
  }
}

/**
 * The trace of an attempt: the caller's where somebody waits for it, else one of its own that is linked to the
 * caller's, since it may begin hours later and again. Without tracing here, only the caller's id is passed on.
 */
export function traceOf(
  tracing: Tracing | undefined,
  call: {
    readonly item: Pick<InvocationItem, 'traceparent' | 'tracestate'>;
    readonly lane: Lane;
    readonly attempt: number;
  },
): CallTrace | TraceDecision | undefined {
  const { item, lane, attempt } = call;
  const caller =
    item.traceparent === undefined ? undefined : parseTraceContext(item.traceparent, item.tracestate);
  if (tracing === undefined) return caller && { traceId: caller.traceId, isKept: () => false };
  if (caller === undefined) {
    const { traceId, sampled } = tracing.sampling.begin(undefined);
    return new CallTrace(tracing, {
      ...{ traceId, sampled, parentSpanId: undefined, traceState: undefined, link: undefined },
    });
  }
  const { traceId, spanId, sampled, traceState } = caller;
  return lane === 'sync' && attempt === 1
    ? new CallTrace(tracing, { traceId, sampled, parentSpanId: spanId, traceState, link: undefined })
    : new CallTrace(tracing, {
        ...{ traceId: newTraceId(), sampled, parentSpanId: undefined, traceState },
        link: { traceId, spanId },
      });
}
