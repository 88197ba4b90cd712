import path from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../helpers/mayfly.js';

interface ZipkinModule {
  zipkinSpans(batch: unknown): unknown[];
}
// The launcher's scripts are plain JavaScript.
const { zipkinSpans } = (await import(path.join(root, 'scripts/observe/zipkin.mjs'))) as ZipkinModule;

const text = (key: string, stringValue: string) => ({ key, value: { stringValue } });
const span = {
  traceId: '0af7651916cd43dd8448eb211c80319c',
  spanId: 'b7ad6b7169203331',
  name: 'vm.run',
  kind: 1,
  startTimeUnixNano: '1700000000123456789',
  endTimeUnixNano: '1700000000123499999',
};
const batch = (...spans: unknown[]) => ({
  resourceSpans: [{ resource: { attributes: [text('service.name', 'hello')] }, scopeSpans: [{ spans }] }],
});

test('a span of OTLP becomes one of Zipkin, in microseconds', () => {
  expect(zipkinSpans(batch({ ...span, parentSpanId: '00f067aa0ba902b7', kind: 5 }))).toEqual([
    {
      traceId: span.traceId,
      id: span.spanId,
      parentId: '00f067aa0ba902b7',
      name: 'vm.run',
      kind: 'CONSUMER',
      timestamp: 1700000000123456,
      duration: 43,
      localEndpoint: { serviceName: 'hello' },
      annotations: [],
      tags: {},
    },
  ]);
});

test('attributes, events, links and an error are kept', () => {
  const [zipkin] = zipkinSpans(
    batch({
      ...span,
      attributes: [text('mayfly.outcome', 'timeout'), { key: 'mayfly.vm.exits', value: { intValue: '2' } }],
      events: [{ timeUnixNano: '1700000000123460000', name: 'halfway' }],
      links: [{ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) }],
      status: { code: 2, message: 'timeout' },
    }),
  );
  expect(zipkin).toMatchObject({
    tags: {
      'mayfly.outcome': 'timeout',
      'mayfly.vm.exits': '2',
      'link.0': `${'a'.repeat(32)} ${'b'.repeat(16)}`,
      error: 'timeout',
    },
    annotations: [{ timestamp: 1700000000123460, value: 'halfway' }],
  });
});

test('a span shorter than a microsecond still has a duration', () => {
  const [zipkin] = zipkinSpans(batch({ ...span, endTimeUnixNano: span.startTimeUnixNano }));
  expect(zipkin).toMatchObject({ duration: 1 });
});

test('an empty batch has no spans', () => {
  expect(zipkinSpans({})).toEqual([]);
});
