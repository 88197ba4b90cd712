import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalBlobStore } from '@mayfly/blobs';
import { defineErrors } from '@mayfly/contracts';
import { type LogData, Metrics, prometheusText, Sampling, type SpanData } from '@mayfly/telemetry';
import { describe, expect, test } from 'vitest';
import type { JobView } from '../src/job-view.js';
import { Permits } from '../src/permits.js';
import { SandboxPool } from '../src/pool/sandbox-pool.js';
import { Processor } from '../src/processor.js';
import type { Settlement } from '../src/reply/delivery.js';
import { CallTelemetry } from '../src/telemetry/call-telemetry.js';
import { GUEST_LOG_LIMITS } from '../src/telemetry/guest-logs.js';
import { GUEST_TRACE_LIMITS } from '../src/telemetry/guest-spans.js';
import { countedBuilder, observePool } from '../src/telemetry/pool-metrics.js';
import { invocationItem, invocationJob } from './helpers/jobs.js';
import { attemptsOver, NotedAttempts } from './helpers/noted-attempts.js';
import { report, ScriptedImages } from './helpers/scripted-images.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';
const sampled = { traceparent: `00-${TRACE}-${PARENT}-01` };
const notSampled = { traceparent: `00-${TRACE}-${PARENT}-00` };

const fail = defineErrors({
  TEST_HOST: { status: 503, fault: 'host', retryable: true, poisons: true, title: 'Host' },
});

/** A processor over scripted guests whose telemetry is kept here. */
function setUp({ exports = true, slowMs = 1000 } = {}) {
  const images = new ScriptedImages();
  const spans: SpanData[] = [];
  const logs: LogData[] = [];
  const errors: unknown[] = [];
  const settlements: Settlement[] = [];
  const metrics = new Metrics('worker');
  const sampling = new Sampling({ parentBased: true, ratio: 0 }, slowMs);
  const limits = { maxSandboxes: 100, maxMemoryBytes: 1_000_000 };
  const pool = new SandboxPool(countedBuilder(metrics, images), { limits, slots: 2 });
  observePool(metrics, pool, { slots: 2, ...limits });
  const telemetry = new CallTelemetry(
    {
      ...{ metrics, resource: { 'service.name': 'mayfly-worker', 'host.name': 'h' } },
      ...(exports && {
        tracing: { sampling, export: (span: SpanData) => spans.push(span) },
        exportLog: (log: LogData) => logs.push(log),
      }),
      shutdown: () => Promise.resolve(),
    },
    (error) => errors.push(error),
  );
  const processor = new Processor({
    workerId: 'w1',
    kvm: 'software',
    pool,
    permits: new Permits(2),
    blobs: new LocalBlobStore(join(tmpdir(), 'mf-no-blobs')),
    delivery: {
      deliver: async (settlement) => {
        settlements.push(settlement);
      },
      tellLost: async (settlement) => {
        settlements.push(settlement);
      },
      leave: () => undefined,
      settled: async () => new Set<string>(),
    },
    attempts: attemptsOver(new NotedAttempts()),
    telemetry,
    onHostFault: () => undefined,
  });
  const run = (item: Parameters<typeof invocationItem>[0], view: Partial<JobView> = {}): Promise<unknown> =>
    processor.process(
      {
        ...{ id: '7', lane: 'sync', data: invocationJob([invocationItem(item)]), attempt: 1 },
        ...{ isLastAttempt: true, ...view },
      },
      new AbortController().signal,
    );
  const text = async () => prometheusText(await metrics.collect(), {});
  return { images, spans, logs, errors, settlements, run, text };
}

const names = (spans: readonly SpanData[]) => spans.map(({ name }) => name);

describe('the trace of a call', () => {
  test('is the caller’s for a sync call', async () => {
    const { spans, run, settlements } = setUp();
    await run(sampled);
    expect(names(spans)).toEqual([
      ...['process sync', 'greet', 'queue', 'vm.acquire', 'vm.restore', 'vm.run', 'result'],
    ]);
    expect(new Set(spans.map(({ traceId }) => traceId))).toEqual(new Set([TRACE]));
    expect(spans[0]).toMatchObject({ parentSpanId: PARENT, isParentRemote: true });
    expect(settlements[0]?.record.trace).toEqual({ id: TRACE, sampled: true });
  });

  test.each([
    ['an async call', { lane: 'async', attempt: 1 }],
    ['a further attempt', { lane: 'async', attempt: 2 }],
  ] as const)('is linked to the caller’s for %s', async (_what, view) => {
    const { spans, run, settlements } = setUp();
    await run(sampled, view);
    const [consumer] = spans;
    expect(consumer?.links).toEqual([{ traceId: TRACE, spanId: PARENT }]);
    expect(consumer).not.toHaveProperty('parentSpanId');
    expect(consumer?.traceId).not.toBe(TRACE);
    expect(settlements[0]?.record.trace?.id).toBe(consumer?.traceId);
  });

  test('begins here when nobody sent one, or sent what is none', async () => {
    const { spans, run, settlements } = setUp({ slowMs: 0 });
    await run({});
    await run({ traceparent: 'nonsense' });
    expect(names(spans).filter((name) => name === 'process sync')).toHaveLength(2);
    expect(spans.some(({ traceId }) => traceId === TRACE)).toBe(false);
    expect(settlements.every(({ record }) => record.outcome === 'succeeded')).toBe(true);
  });

  test('is kept for a failure and for a slow call, else not made', async () => {
    const { images, spans, run } = setUp();
    await run(notSampled);
    expect(spans).toEqual([]);
    images.script = () => report({ outcome: 'timeout', detail: { message: 'too long' } });
    await run(notSampled);
    expect(spans.find(({ name }) => name === 'greet')?.error).toBe('too long');
  });

  test('is only passed on where nothing is exported', async () => {
    const { run, settlements } = setUp({ exports: false });
    await run(sampled);
    await run({});
    expect(settlements.map(({ record }) => record.trace)).toEqual([{ id: TRACE, sampled: false }, undefined]);
  });

  test('shows an attempt that somebody will make again, without an outcome', async () => {
    const { images, spans, run } = setUp();
    images.script = () => {
      throw fail('TEST_HOST', 'no');
    };
    await run(sampled, { lane: 'async' });
    expect(names(spans)).toEqual(['process async']);
    expect(spans[0]).toMatchObject({ error: 'Host (TEST_HOST)', attributes: { 'error.type': 'host-fault' } });
  });

  test('has neither restore nor run when no guest ran', async () => {
    const { images, spans, run } = setUp();
    images.onBuild = async () => ({
      ok: false,
      failure: { outcome: 'aborted', detail: { message: 'Initialisation: no' } },
    });
    await run(sampled);
    expect(names(spans)).toEqual(['process sync', 'greet', 'queue', 'vm.acquire']);
  });
});

describe('what a guest says of itself', () => {
  const guest = {
    enteredUnixNs: 0n,
    spans: [
      {
        name: 'outer',
        target: 'm',
        startNs: 10.4,
        endNs: 90,
        closed: true,
        fields: [['faas.name', 'forged']],
      },
      { name: 'inner', target: '', parent: 0, startNs: 20, endNs: 30, closed: false, fields: [] },
    ],
    events: [
      { name: 'in', parent: 1, timeNs: 25, fields: [] },
      { name: 'loose', timeNs: 95, fields: [] },
      { name: 'nowhere', parent: 9, timeNs: 95, fields: [] },
    ],
    hostCalls: [{ name: 'Host', parent: 1, startNs: 21, endNs: 22, ok: false }],
    dropped: { batches: 0, spans: 3, events: 0, hostCalls: 0, fields: 0 },
  } as const;

  test('is asked for only where the head wants the trace', async () => {
    const { images, run } = setUp();
    const asked: boolean[] = [];
    images.script = ({ options }) => {
      asked.push(options.trace);
      return report();
    };
    await run(sampled);
    await run(notSampled);
    await run({});
    expect(asked).toEqual([true, false, false]);
  });

  test('is below the run, with its host calls inside the span that made them, and forges no attribute', async () => {
    const { images, spans, errors, run } = setUp();
    images.script = () => report({ trace: guest });
    await run(sampled);
    expect(errors).toEqual([]);
    const byName = (name: string) => spans.find((span) => span.name === name);
    expect(byName('outer')).toMatchObject({
      ...{ parentSpanId: byName('vm.run')?.spanId, isFromGuest: true },
      startUnixNs: (byName('vm.run')?.startUnixNs ?? 0n) + 10n,
      attributes: { 'guest.faas.name': 'forged', 'code.namespace': 'm' },
    });
    expect(byName('outer')?.attributes).not.toHaveProperty('faas.name');
    expect(byName('inner')).toMatchObject({
      parentSpanId: byName('outer')?.spanId,
      attributes: { 'guest.closed': false },
      events: [{ name: 'in', timeUnixNs: (byName('vm.run')?.startUnixNs ?? 0n) + 25n }],
    });
    expect(byName('host Host')).toMatchObject({ parentSpanId: byName('inner')?.spanId });
    expect(byName('host Host')?.error).toBeDefined();
    expect(byName('vm.run')).toMatchObject({
      events: [{ name: 'loose' }],
      attributes: { 'mayfly.guest.dropped_spans': 3 },
    });
  });

  test('is capped, so that it leaves room for others, and what is missing is counted', async () => {
    const { images, spans, run } = setUp();
    const [outer] = guest.spans;
    const many = <T>(count: number, one: T) => Array.from({ length: count }, () => one);
    images.script = () =>
      report({
        trace: {
          ...guest,
          spans: many(GUEST_TRACE_LIMITS.spans + 10, outer),
          hostCalls: many(GUEST_TRACE_LIMITS.hostCalls + 20, guest.hostCalls[0]),
          events: many(GUEST_TRACE_LIMITS.eventsOfSpan + 5, guest.events[1]),
        },
      });
    await run(sampled);
    const count = (name: string) => spans.filter((span) => span.name === name).length;
    expect([count('outer'), count('host Host')]).toEqual([
      GUEST_TRACE_LIMITS.spans,
      GUEST_TRACE_LIMITS.hostCalls,
    ]);
    expect(spans.find(({ name }) => name === 'vm.run')?.attributes).toMatchObject({
      'mayfly.guest.dropped_spans': 3 + 10 + 20,
      'mayfly.guest.dropped_events': 5,
    });
  });

  test('that cannot be made into spans costs the call nothing', async () => {
    const { images, spans, errors, settlements, run } = setUp();
    images.script = () =>
      report({ trace: { ...guest, spans: [{ ...guest.spans[0], startNs: Number.NaN }] } });
    await run(sampled);
    expect(errors).toHaveLength(1);
    expect(spans).toEqual([]);
    expect(settlements.map(({ record }) => record.outcome)).toEqual(['succeeded']);
  });
});

describe('guest logs', () => {
  test('of a call are capped by number, and the rest is counted', async () => {
    const { images, logs, run } = setUp();
    images.script = () => report({ printed: 'line\n'.repeat(GUEST_LOG_LIMITS.records + 5), logsDropped: 2 });
    await run(sampled);
    expect(logs).toHaveLength(GUEST_LOG_LIMITS.records + 1);
    expect(logs.at(-1)).toMatchObject({
      ...{ severity: 'warn', attributes: { 'mayfly.log.dropped_records': 7 } },
      ...{ traceId: TRACE, sampled: true },
    });
  });

  test('of an initialisation that failed are those of the call that waited for it', async () => {
    const { images, logs, run } = setUp();
    images.onBuild = async () => ({
      ok: false,
      failure: { outcome: 'aborted', detail: { message: 'no' }, logTail: 'before the end\n' },
    });
    await run(sampled);
    expect(logs).toMatchObject([
      { body: 'before the end', attributes: { 'log.iostream': 'initialisation' }, traceId: TRACE },
    ]);
  });

  test('of a call are capped by bytes, each and together', async () => {
    const { images, logs, run } = setUp();
    const long = 'é'.repeat(GUEST_LOG_LIMITS.recordBytes);
    images.script = () =>
      report({ logs: Array.from({ length: 9 }, () => ({ level: 'error', message: long })) });
    await run(sampled);
    const bytes = logs.slice(0, -1).map(({ body }) => Buffer.byteLength(body));
    expect(Math.max(...bytes)).toBeLessThanOrEqual(GUEST_LOG_LIMITS.recordBytes);
    expect(bytes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(GUEST_LOG_LIMITS.bytes);
    expect(logs.at(-1)?.attributes['mayfly.log.dropped_records']).toBe(9 - bytes.length);
  });
});

describe('the metrics of calls', () => {
  test('tell outcomes, guest errors, cancellations, cold starts and host faults apart', async () => {
    const { images, run, text } = setUp({ exports: false });
    await run({});
    images.script = () =>
      report({ outcome: 'guest-error', detail: { message: 'no', guestCode: 17, guestCodeName: 'x' } });
    await run({});
    images.script = () => report({ outcome: 'timeout', detail: { message: 'late' } });
    await run({});
    images.script = () => {
      throw fail('TEST_HOST', 'no');
    };
    await run({});
    const metrics = await text();
    expect(metrics).toContain('faas_invocations_total{faas_trigger="http"} 1\n');
    expect(metrics).toContain('faas_errors_total{faas_trigger="http",error_type="guest-error"} 1\n');
    expect(metrics).toContain('faas_errors_total{faas_trigger="http",error_type="host-fault"} 1\n');
    expect(metrics).toContain('faas_timeouts_total{faas_trigger="http"} 1\n');
    expect(metrics).toContain('guest_errors_total{code="17"} 1\n');
    expect(metrics).toContain('guest_cancellations_total 1\n');
    expect(metrics).toContain('faas_coldstarts_total{mayfly_vm_source="boot"} 1\n');
    expect(metrics).toContain('mayfly_host_faults_total{error_type="TEST_HOST"} 1\n');
    expect(metrics).toContain('mayfly_snapshot_cache_misses_total 1\n');
    expect(metrics).toContain('mayfly_snapshot_cache_hits_total 3\n');
    expect(metrics).toContain('mayfly_snapshot_build_duration_seconds_count{mayfly_outcome="succeeded"} 1\n');
  });

  test('show what the pool holds while a call runs, and after it', async () => {
    const { images, run, text } = setUp({ exports: false });
    images.slots = [0];
    let during = '';
    images.script = async () => {
      during = await text();
      return report();
    };
    await run({});
    expect(during).toContain('mayfly_vm_slots{mayfly_vm_state="busy"} 1\n');
    expect(during).toContain('mayfly_pool_sandboxes{mayfly_vm_state="leased"} 1\n');
    const after = await text();
    expect(after).toContain('mayfly_vm_slots{mayfly_vm_state="busy"} 0\n');
    expect(after).toContain('mayfly_vm_slots{mayfly_vm_state="idle"} 2\n');
    expect(after).toContain('mayfly_pool_sandboxes{mayfly_vm_state="leased"} 0\n');
    expect(after).toContain('mayfly_pool_versions 1\n');
  });
});
