import { execFile } from 'node:child_process';
import { type AddressInfo, createServer } from 'node:net';
import { promisify } from 'node:util';
import {
  HistogramInstrument,
  MetricsServer,
  type NumberInstrument,
  type Process,
  readTelemetrySettings,
  type SpanData,
  startTelemetry,
  type Telemetry,
} from '@mayfly/telemetry';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TestCollector } from './support/collector.js';
import { seriesNames } from './support/otlp-prometheus-name.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';

let collector: TestCollector;
let endpoint: string;
const started: Telemetry[] = [];
let onProblem: (error: unknown) => void = () => undefined;

beforeEach(async () => {
  collector = new TestCollector();
  endpoint = await collector.listen();
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((telemetry) => telemetry.shutdown(1_000)));
  await collector.close();
});

async function start(env: Record<string, string> = {}): Promise<Telemetry<'worker'>> {
  return await startAs('worker', env);
}

async function startAs<P extends Process>(process: P, env: Record<string, string>): Promise<Telemetry<P>> {
  const settings = readTelemetrySettings(
    {
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_BSP_SCHEDULE_DELAY: '10',
      OTEL_BLRP_SCHEDULE_DELAY: '10',
      ...env,
    },
    1000,
    [],
  );
  const telemetry = await startTelemetry({
    ...{ process, instanceId: 'w-1', version: '0.1.0', settings },
    onProblem: (error) => onProblem(error),
  });
  started.push(telemetry as Telemetry);
  return telemetry;
}

function span(spanId: string, more: Partial<SpanData> = {}): SpanData {
  return {
    ...{ traceId: TRACE, spanId, name: `span ${spanId}`, kind: 'internal', attributes: {} },
    ...{ startUnixNs: 1_700_000_000_000_000_001n, endUnixNs: 1_700_000_000_000_001_001n },
    ...more,
  };
}

describe('spans', () => {
  test('arrive to the nanosecond, with parent, links, events, status and resource', async () => {
    const telemetry = await start();
    const resource = { attributes: { 'service.name': 'hello' } };
    telemetry.tracing?.export(span('00f067aa0ba902b7', { kind: 'server', traceState: 'a=1' }));
    telemetry.tracing?.export(
      span('00f067aa0ba902b8', {
        ...{ parentSpanId: '00f067aa0ba902b7', error: 'it broke', resource, isFromGuest: true },
        attributes: { count: 3, share: 0.5, text: 'x', flag: true, list: ['a', 'b'] },
        links: [{ traceId: 'f'.repeat(32), spanId: 'e'.repeat(16) }],
        events: [{ name: 'log', timeUnixNs: 1_700_000_000_000_000_007n, attributes: { level: 'info' } }],
      }),
    );
    const [first, second] = await collector.until('both spans', () =>
      collector.spans.length === 2 ? collector.spans : undefined,
    );
    expect(first).toMatchObject({ kind: 'server', parentSpanId: undefined, traceState: 'a=1' });
    expect(first).toMatchObject({ scope: 'mayfly', isError: false });
    expect(first?.resource).toMatchObject({
      'service.name': 'mayfly-worker',
      'service.instance.id': 'w-1',
      'service.version': '0.1.0',
    });
    expect(second).toMatchObject({
      ...{ traceId: TRACE, spanId: '00f067aa0ba902b8', parentSpanId: '00f067aa0ba902b7' },
      ...{ startNs: 1_700_000_000_000_000_001n, endNs: 1_700_000_000_000_001_001n },
      ...{ isError: true, errorText: 'it broke', scope: 'mayfly.guest' },
      attributes: { count: 3, share: 0.5, text: 'x', flag: true, list: ['a', 'b'] },
      links: [{ traceId: 'f'.repeat(32), spanId: 'e'.repeat(16) }],
      events: [{ name: 'log', timeNs: 1_700_000_000_000_000_007n, attributes: { level: 'info' } }],
      resource: { 'service.name': 'hello' },
    });
    expect([...collector.contentTypes]).toEqual(['application/x-protobuf']);
  });

  test('that wait at the end are sent by the shutdown', async () => {
    const telemetry = await start({ OTEL_BSP_SCHEDULE_DELAY: '600000' });
    telemetry.tracing?.export(span('00f067aa0ba902b7'));
    await telemetry.shutdown(5_000);
    expect(collector.spans).toHaveLength(1);
  });
});

describe('log records', () => {
  test('arrive with their severity, trace and resource', async () => {
    const telemetry = await start();
    telemetry.exportLog?.({
      ...{ timeUnixNs: 5_000_000_001n, severity: 'warn', body: 'careful' },
      ...{ attributes: { 'faas.invocation_id': 'inv_1' }, traceId: TRACE, spanId: '00f067aa0ba902b7' },
      resource: { attributes: { 'service.name': 'hello' } },
    });
    const [record] = await collector.until('the record', () => collector.logs.length > 0 && collector.logs);
    expect(record).toEqual({
      ...{ traceId: TRACE, spanId: '00f067aa0ba902b7', severity: 'WARN', body: 'careful' },
      ...{ timeNs: 5_000_000_001n, attributes: { 'faas.invocation_id': 'inv_1' } },
      resource: { 'service.name': 'hello' },
    });
  });
});

describe('metrics', () => {
  test.each(['gateway', 'worker'] as const)(
    'of the %s have the same series names over OTLP and on /metrics',
    async (process) => {
      const telemetry = await startAs(process, { OTEL_METRIC_EXPORT_INTERVAL: '50' });
      const instruments: readonly (NumberInstrument | HistogramInstrument)[] = Object.values(
        telemetry.metrics.instruments,
      );
      for (const instrument of instruments) {
        const labels = instrument.definition.labels.map(() => 'x');
        if (instrument instanceof HistogramInstrument) instrument.record(1, ...labels);
        else instrument.add(1, ...labels);
      }
      const server = new MetricsServer({
        ...{ metrics: telemetry.metrics, resource: telemetry.resource, host: '127.0.0.1', port: 0 },
      });
      try {
        const count = instruments.length;
        await collector.until('an export', () => collector.metrics.length >= count);
        const overOtlp = new Set(collector.metrics.flatMap(seriesNames));
        const text = await (await fetch(await server.listen())).text();
        const scraped = new Set(
          text
            .split('\n')
            .filter((line) => line !== '' && !line.startsWith('#'))
            .map((line) => line.split(/[{ ]/)[0] ?? ''),
        );
        // Prometheus makes it of the resource.
        overOtlp.add('target_info');
        expect([...scraped].sort()).toEqual([...overOtlp].sort());
        expect(scraped.size).toBeGreaterThan(count);
      } finally {
        await server.close();
      }
    },
  );

  test('are cumulative, and histograms keep their bounds', async () => {
    const telemetry = await start({ OTEL_METRIC_EXPORT_INTERVAL: '50' });
    telemetry.metrics.instruments.queueDuration.record(20e-6, 'sync');
    telemetry.metrics.instruments.guestCancellations.add(2);
    const find = (name: string) => collector.metrics.find((metric) => metric.name === name);
    const { histogram } = await collector.until('the histogram', () => find('mayfly.queue.duration'));
    expect(histogram?.aggregationTemporality).toBe(2);
    const [point] = histogram?.dataPoints ?? [];
    expect(point?.explicitBounds.slice(0, 2)).toEqual([10e-6, 25e-6]);
    expect(point?.bucketCounts.slice(0, 3)).toEqual(['0', '1', '0']);
    expect(point).toMatchObject({ count: '1', sum: 20e-6 });
    const sum = find('guest_cancellations')?.sum;
    expect(sum).toMatchObject({ isMonotonic: true, aggregationTemporality: 2 });
    expect(sum?.dataPoints[0]?.asDouble).toBe(2);
  });
});

describe('without a collector', () => {
  test('nothing is exported', async () => {
    const telemetry = await start({ OTEL_SDK_DISABLED: 'true' });
    expect(telemetry.tracing).toBeUndefined();
    expect(telemetry.exportLog).toBeUndefined();
    await telemetry.shutdown(10);
    expect(collector.contentTypes.size).toBe(0);
  });

  test.each([
    ['loaded for an endpoint', true],
    ['not loaded without one', false],
  ])('the SDK is %s', async (_when, isLoaded) => {
    const env = isLoaded ? { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' } : {};
    const script = `
      import { createRequire } from 'node:module';
      import { readTelemetrySettings, startTelemetry } from '@mayfly/telemetry';
      const settings = readTelemetrySettings(${JSON.stringify(env)}, 1000, []);
      await startTelemetry({ process: 'worker', instanceId: 'w', version: '1', settings, onProblem() {} });
      const loaded = Object.keys(createRequire('/')('node:module')._cache);
      console.log(loaded.filter((file) => file.includes('@opentelemetry')).length);
      process.exit(0);`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
    expect(Number(stdout) > 0).toBe(isLoaded);
  });

  test('that answers, what does not fit the queue is dropped and counted, and the end does not wait', async () => {
    // Takes connections and says nothing.
    const mute = createServer();
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port } = mute.address() as AddressInfo;
    const telemetry = await start({
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      OTEL_BSP_MAX_QUEUE_SIZE: '10',
    });
    for (let index = 0; index < 100; index += 1) telemetry.tracing?.export(span('00f067aa0ba902b7'));
    const metrics = await telemetry.metrics.collect();
    const dropped = metrics.find(({ definition }) => definition.name === 'mayfly.telemetry.dropped');
    expect(dropped?.points).toMatchObject([{ labels: ['traces'], value: 90 }]);
    await telemetry.shutdown(50);
    mute.close();
  });

  test('that takes what it is sent, the problem is reported and its spans are counted as lost', async () => {
    collector.status = 400;
    const problem = new Promise((resolve) => {
      onProblem = resolve;
    });
    const telemetry = await start();
    telemetry.tracing?.export(span('00f067aa0ba902b7'));
    expect(await problem).toBeInstanceOf(Error);
    const metrics = await telemetry.metrics.collect();
    const dropped = metrics.find(({ definition }) => definition.name === 'mayfly.telemetry.dropped');
    expect(dropped?.points).toMatchObject([{ labels: ['traces'], value: 1 }]);
  });
});

describe('the metrics server', () => {
  test('answers GET /metrics alone', async () => {
    const telemetry = await start({ OTEL_SDK_DISABLED: 'true' });
    const { metrics, resource } = telemetry;
    const server = new MetricsServer({ metrics, resource, host: '127.0.0.1', port: 0 });
    try {
      const address = await server.listen();
      const answer = await fetch(address);
      expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
      expect(await answer.text()).toContain('process_memory_usage_bytes ');
      expect((await fetch(address, { method: 'POST' })).status).toBe(405);
      expect((await fetch(new URL('/', address))).status).toBe(404);
    } finally {
      await server.close();
    }
  });
});
