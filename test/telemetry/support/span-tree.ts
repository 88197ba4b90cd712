import type { ReceivedSpan } from './collector.js';

/** A span by what it must be: `[name, kind, service, children]`. */
export type SpanTree = readonly [name: string, kind: string, service: unknown, children: readonly SpanTree[]];

/** The trees of a trace, one for each span whose parent is not in it; children in the order of their beginning. */
export function spanTrees(spans: readonly ReceivedSpan[]): SpanTree[] {
  const known = new Set(spans.map(({ spanId }) => spanId));
  const childrenOf = (parent: string): SpanTree[] =>
    spans
      .filter(({ parentSpanId }) => parentSpanId === parent)
      .sort(byStart)
      .map(treeOf);
  const treeOf = (span: ReceivedSpan): SpanTree => [
    span.name,
    span.kind,
    span.resource['service.name'],
    childrenOf(span.spanId),
  ];
  return spans
    .filter(({ parentSpanId }) => parentSpanId === undefined || !known.has(parentSpanId))
    .sort(byStart)
    .map(treeOf);
}

function byStart(a: ReceivedSpan, b: ReceivedSpan): number {
  if (a.startNs !== b.startNs) return a.startNs < b.startNs ? -1 : 1;
  return a.endNs < b.endNs ? -1 : 1;
}
