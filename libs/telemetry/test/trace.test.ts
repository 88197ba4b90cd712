import {
  formatTraceparent,
  newSpanId,
  newTraceId,
  parseTraceContext,
  preciseNowMs,
  readTelemetrySettings,
  Sampling,
  unixNs,
} from '@mayfly/telemetry';
import { describe, expect, test } from 'vitest';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';

describe('traceparent', () => {
  test('is read and written as W3C has it', () => {
    const context = parseTraceContext(`00-${TRACE}-${SPAN}-01`, 'vendor=a');
    expect(context).toEqual({ traceId: TRACE, spanId: SPAN, sampled: true, traceState: 'vendor=a' });
    if (context) expect(formatTraceparent(context)).toBe(`00-${TRACE}-${SPAN}-01`);
  });

  test('of a later version may have more fields', () => {
    expect(parseTraceContext(`01-${TRACE}-${SPAN}-00-more`)).toMatchObject({ sampled: false });
  });

  test.each([
    ['nothing', undefined],
    ['a list', [`00-${TRACE}-${SPAN}-01`]],
    ['capital digits', `00-${TRACE.toUpperCase()}-${SPAN}-01`],
    ['an all-zero trace', `00-${'0'.repeat(32)}-${SPAN}-01`],
    ['an all-zero span', `00-${TRACE}-${'0'.repeat(16)}-01`],
    ['version ff', `ff-${TRACE}-${SPAN}-01`],
    ['more fields at version 00', `00-${TRACE}-${SPAN}-01-more`],
    ['a short trace', `00-${TRACE.slice(1)}-${SPAN}-01`],
  ])('%s is no context', (_what, header) => {
    expect(parseTraceContext(header)).toBeUndefined();
  });

  test('a tracestate that is none is left out', () => {
    const context = parseTraceContext(`00-${TRACE}-${SPAN}-01`, 'x'.repeat(513));
    expect(context).toEqual({ traceId: TRACE, spanId: SPAN, sampled: true });
  });
});

test('ids are hex of their length, and differ', () => {
  const ids = Array.from({ length: 1000 }, newTraceId);
  expect(new Set(ids).size).toBe(1000);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{32}$/);
  expect(newSpanId()).toMatch(/^[0-9a-f]{16}$/);
});

test('nanoseconds since 1970 keep what a double holds of them', () => {
  expect(unixNs(1_700_000_000_123.25)).toBe(1_700_000_000_123_250_000n);
  expect(Math.abs(preciseNowMs() - Date.now())).toBeLessThan(50);
});

describe('sampling', () => {
  const client = { traceId: TRACE, spanId: SPAN, sampled: false };

  test('follows the client’s decision when it is parent-based', () => {
    const sampling = new Sampling({ parentBased: true, ratio: 1 }, 1000);
    expect(sampling.begin(client)).toEqual({ traceId: TRACE, sampled: false });
    expect(sampling.begin({ ...client, sampled: true }).sampled).toBe(true);
    expect(new Sampling({ parentBased: false, ratio: 1 }, 1000).begin(client).sampled).toBe(true);
  });

  test('takes its share of new traces', () => {
    const shareOf = (ratio: number) => {
      const sampling = new Sampling({ parentBased: true, ratio }, 1000);
      return Array.from({ length: 4000 }, () => sampling.begin(undefined)).filter((trace) => trace.sampled)
        .length;
    };
    expect(shareOf(1)).toBe(4000);
    expect(shareOf(0)).toBe(0);
    expect(shareOf(0.25)).toBeGreaterThan(800);
    expect(shareOf(0.25)).toBeLessThan(1200);
  });

  test('keeps failed and slow calls, whatever the head decided', () => {
    const sampling = new Sampling({ parentBased: true, ratio: 0 }, 100);
    expect(sampling.keeps({ failed: false, totalMs: 99 })).toBe(false);
    expect(sampling.keeps({ failed: false, totalMs: 100 })).toBe(true);
    expect(sampling.keeps({ failed: true, totalMs: 0 })).toBe(true);
  });

  test('keeps no more than 50 a second, and again in the next', () => {
    const sampling = new Sampling({ parentBased: true, ratio: 0 }, 100);
    const keptAt = (ms: number) =>
      Array.from({ length: 80 }, () => sampling.keeps({ failed: true, totalMs: 0 }, ms)).filter(Boolean)
        .length;
    expect(keptAt(5_000)).toBe(50);
    expect(keptAt(5_999)).toBe(0);
    expect(keptAt(6_000)).toBe(50);
  });
});

describe('settings', () => {
  const read = (env: Record<string, string>) => {
    const problems: string[] = [];
    return { settings: readTelemetrySettings(env, 1000, problems), problems };
  };

  test('without an endpoint nothing is exported', () => {
    const { settings, problems } = read({});
    expect(settings.endpoints).toEqual({});
    expect(settings.sampler).toEqual({ parentBased: true, ratio: 1 });
    expect(problems).toEqual([]);
  });

  test('one endpoint serves all signals; a signal can have its own, or none', () => {
    const base = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/' };
    expect(read(base).settings.endpoints).toEqual({
      traces: 'http://collector:4318/v1/traces',
      metrics: 'http://collector:4318/v1/metrics',
      logs: 'http://collector:4318/v1/logs',
    });
    expect(
      read({
        ...base,
        OTEL_METRICS_EXPORTER: 'none',
        OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: 'https://logs/otlp',
      }).settings.endpoints,
    ).toEqual({ traces: 'http://collector:4318/v1/traces', logs: 'https://logs/otlp' });
    expect(read({ ...base, OTEL_SDK_DISABLED: 'true' }).settings.endpoints).toEqual({});
  });

  test('resource attributes are decoded, and the service name goes first', () => {
    const { settings } = read({
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test%20rig, service.name=x',
      OTEL_SERVICE_NAME: 'mine',
    });
    expect(settings.resource).toEqual({
      'deployment.environment.name': 'test rig',
      'service.name': 'mine',
    });
  });

  test('every value that cannot be used is a problem of its own', () => {
    const { problems } = read({
      OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318 secret',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
      OTEL_TRACES_SAMPLER: 'sometimes',
      OTEL_BSP_MAX_QUEUE_SIZE: '0',
      OTEL_RESOURCE_ATTRIBUTES: 'nothing',
      OTEL_LOGS_EXPORTER: 'console',
    });
    expect(problems.join('\n')).toMatch(/ENDPOINT of traces/);
    expect(problems.join('\n')).toMatch(/PROTOCOL/);
    expect(problems.join('\n')).toMatch(/SAMPLER/);
    expect(problems.join('\n')).toMatch(/QUEUE_SIZE/);
    expect(problems.join('\n')).toMatch(/RESOURCE_ATTRIBUTES/);
    expect(problems.join('\n')).toMatch(/LOGS_EXPORTER/);
    expect(problems.join('\n')).not.toMatch(/secret/);
  });
});
