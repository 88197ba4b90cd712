import type { GuestEvent, GuestField, GuestTrace } from '@mayfly/hypervisor';
import {
  type Attributes,
  newSpanId,
  type ResourceData,
  SPANS,
  type SpanData,
  type SpanEventData,
} from '@mayfly/telemetry';

/**
 * Of one call, on their way to a collector that all tenants share: a guest that tells more must not push the others'
 * spans out of the queue. A parent comes before its children, so what is left is a tree still.
 */
export const GUEST_TRACE_LIMITS = { spans: 200, hostCalls: 100, eventsOfSpan: 64 } as const;

/** Before the name of each field that a guest chose, so that none passes for an attribute of the host. */
const GUEST_PREFIX = 'guest.';

/**
 * What a guest told of its own work, below the run that it belongs to: its spans, its host calls inside the span that
 * made them, and the events that belong to no span of its own.
 */
export function guestSpans(
  guest: GuestTrace,
  parent: { readonly traceId: string; readonly run: SpanData; readonly resource: ResourceData },
): {
  readonly spans: readonly SpanData[];
  /** Of the run itself. */
  readonly events: readonly SpanEventData[];
  readonly droppedSpans: number;
  readonly droppedEvents: number;
} {
  const { traceId, run, resource } = parent;
  // The run began with the guest's entry; a wall clock that was set meanwhile must not tear the two apart.
  const base = run.startUnixNs;
  const guestSpans = guest.spans.slice(0, GUEST_TRACE_LIMITS.spans);
  const calls = guest.hostCalls.slice(0, GUEST_TRACE_LIMITS.hostCalls);
  const ids = guestSpans.map(() => newSpanId());
  const idOf = (index: number | undefined) => (index === undefined ? undefined : ids[index]) ?? run.spanId;
  const eventsOf = new Map<number | undefined, SpanEventData[]>();
  let droppedEvents = guest.dropped.events;
  for (const event of guest.events) {
    const events = eventsOf.get(event.parent) ?? [];
    if (events.length < GUEST_TRACE_LIMITS.eventsOfSpan) events.push(spanEvent(event, base));
    else droppedEvents += 1;
    eventsOf.set(event.parent, events);
  }
  const common = { traceId, kind: 'internal', resource } as const;
  const spans = guestSpans.map((span, index): SpanData => {
    const events = eventsOf.get(index);
    return {
      ...common,
      spanId: ids[index] ?? newSpanId(),
      parentSpanId: idOf(span.parent),
      name: span.name,
      startUnixNs: after(base, span.startNs),
      endUnixNs: after(base, span.endNs),
      attributes: {
        ...(span.target !== '' && { 'code.namespace': span.target }),
        ...(!span.closed && { [`${GUEST_PREFIX}closed`]: false }),
        ...fieldAttributes(span.fields),
      },
      isFromGuest: true,
      ...(events && { events }),
    };
  });
  const hostCalls = calls.map(
    (call): SpanData => ({
      ...common,
      spanId: newSpanId(),
      parentSpanId: idOf(call.parent),
      name: SPANS.hostCall(call.name),
      startUnixNs: after(base, call.startNs),
      endUnixNs: after(base, call.endNs),
      attributes: {},
      ...(!call.ok && { error: 'The host function gave no value' }),
    }),
  );
  const left = guest.spans.length - guestSpans.length + guest.hostCalls.length - calls.length;
  return {
    spans: [...spans, ...hostCalls],
    events: eventsOf.get(undefined) ?? [],
    droppedSpans: guest.dropped.spans + guest.dropped.hostCalls + left,
    droppedEvents,
  };
}

function spanEvent(event: GuestEvent, base: bigint): SpanEventData {
  return {
    name: event.name,
    timeUnixNs: after(base, event.timeNs),
    attributes: fieldAttributes(event.fields),
  };
}

function fieldAttributes(fields: readonly GuestField[]): Attributes {
  return Object.fromEntries(fields.map(([name, value]) => [`${GUEST_PREFIX}${name}`, value]));
}

/** The guest's clock and ours meet between nanoseconds. */
function after(base: bigint, ns: number): bigint {
  return base + BigInt(Math.round(ns));
}
