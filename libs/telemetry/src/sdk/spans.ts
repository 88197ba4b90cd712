import { createTraceState, type SpanContext, SpanKind, SpanStatusCode, TraceFlags } from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import { SCHEMA_URL } from '../names/attributes.js';
import { SCOPES } from '../names/spans.js';
import type { SpanData } from '../trace/span-data.js';
import { hrTime, mutable } from './values.js';

const KINDS = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;
const MAYFLY_SCOPE = { name: SCOPES.mayfly, schemaUrl: SCHEMA_URL };
const GUEST_SCOPE = { name: SCOPES.guest };

/** A span that ended long ago, in the form of the SDK's exporters. */
export function readableSpan(span: SpanData, resource: Resource): ReadableSpan {
  const { traceId, spanId, parentSpanId, traceState, error } = span;
  const context: SpanContext = {
    traceId,
    spanId,
    traceFlags: TraceFlags.SAMPLED,
    ...(traceState !== undefined && { traceState: createTraceState(traceState) }),
  };
  return {
    name: span.name,
    kind: KINDS[span.kind],
    spanContext: () => context,
    ...(parentSpanId !== undefined && {
      parentSpanContext: {
        traceId,
        spanId: parentSpanId,
        traceFlags: TraceFlags.SAMPLED,
        isRemote: span.isParentRemote === true,
      },
    }),
    startTime: hrTime(span.startUnixNs),
    endTime: hrTime(span.endUnixNs),
    duration: hrTime(span.endUnixNs - span.startUnixNs),
    status:
      error === undefined ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, message: error },
    attributes: mutable(span.attributes),
    links: (span.links ?? []).map((link) => ({
      context: { ...link, traceFlags: TraceFlags.SAMPLED, isRemote: true },
    })),
    events: (span.events ?? []).map(({ name, timeUnixNs, attributes }) => ({
      name,
      time: hrTime(timeUnixNs),
      attributes: mutable(attributes),
    })),
    ended: true,
    resource,
    instrumentationScope: span.isFromGuest === true ? GUEST_SCOPE : MAYFLY_SCOPE,
    droppedAttributesCount: span.droppedAttributes ?? 0,
    droppedEventsCount: span.droppedEvents ?? 0,
    droppedLinksCount: 0,
  };
}
