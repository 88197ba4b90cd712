/** OTLP traces in JSON, as the collector sends them, as Zipkin's spans (api v2). */
export function zipkinSpans({ resourceSpans = [] }) {
  return resourceSpans.flatMap(({ resource, scopeSpans = [] }) => {
    const service = attributes(resource?.attributes)['service.name'] ?? 'unknown';
    return scopeSpans.flatMap(({ spans = [] }) => spans.map((span) => zipkinSpan(service, span)));
  });
}

/** By OTLP's number; Zipkin has no word for the internal ones. */
const KINDS = [undefined, undefined, 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];

function zipkinSpan(serviceName, span) {
  const tags = attributes(span.attributes);
  if (span.status?.code === 2) tags.error = span.status.message || 'true';
  for (const [index, { traceId, spanId }] of (span.links ?? []).entries())
    tags[`link.${index}`] = `${traceId} ${spanId}`;
  const startUs = microseconds(span.startTimeUnixNano);
  return {
    traceId: span.traceId,
    id: span.spanId,
    ...(span.parentSpanId ? { parentId: span.parentSpanId } : {}),
    name: span.name,
    kind: KINDS[span.kind],
    timestamp: startUs,
    // Zipkin takes a duration of 0 for none.
    duration: Math.max(1, microseconds(span.endTimeUnixNano) - startUs),
    localEndpoint: { serviceName },
    annotations: (span.events ?? []).map(({ timeUnixNano, name }) => ({
      timestamp: microseconds(timeUnixNano),
      value: name,
    })),
    tags,
  };
}

const microseconds = (nanoseconds) => Number(BigInt(nanoseconds) / 1000n);

function attributes(list = []) {
  return Object.fromEntries(
    list.map(({ key, value }) => {
      const [plain] = Object.values(value);
      return [key, typeof plain === 'object' ? JSON.stringify(plain) : String(plain)];
    }),
  );
}
