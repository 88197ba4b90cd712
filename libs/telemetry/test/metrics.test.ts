import { BUSIEST, Busiest, type MetricSnapshot, Metrics, OTHER, prometheusText } from '@mayfly/telemetry';
import { describe, expect, test } from 'vitest';

async function snapshotOf(metrics: Metrics<'worker'> | Metrics<'gateway'>, name: string) {
  return (await metrics.collect()).find(({ definition }) => definition.name === name) as MetricSnapshot;
}

describe('counters and gauges', () => {
  test('keep one series for each set of labels', async () => {
    const metrics = new Metrics('worker');
    const { errors } = metrics.instruments;
    errors.add(1, 'http', 'timeout');
    errors.add(2, 'http', 'timeout');
    errors.add(1, 'http', 'aborted');
    const { points } = await snapshotOf(metrics, 'faas.errors');
    expect(points.map(({ labels, value }) => [...labels, value])).toEqual([
      ['http', 'timeout', 3],
      ['http', 'aborted', 1],
    ]);
  });

  test('a metric without a value is not collected', async () => {
    expect(await new Metrics('worker').collect()).toEqual([]);
  });

  test('what is looked up is cleared before each collection', async () => {
    const metrics = new Metrics('worker');
    let busy = 2;
    metrics.observe(['vmSlots'], () => {
      if (busy > 0) metrics.instruments.vmSlots.add(busy, 'busy');
    });
    expect((await snapshotOf(metrics, 'mayfly.vm.slots')).points[0]?.value).toBe(2);
    busy = 1;
    expect((await snapshotOf(metrics, 'mayfly.vm.slots')).points[0]?.value).toBe(1);
    busy = 0;
    expect(await snapshotOf(metrics, 'mayfly.vm.slots')).toBeUndefined();
  });

  test('an observer that fails takes nothing else with it', async () => {
    const metrics = new Metrics('worker');
    metrics.observe(['vmSlots'], () => Promise.reject(new Error('away')));
    metrics.instruments.guestCancellations.add(1);
    expect((await metrics.collect()).map(({ definition }) => definition.name)).toEqual([
      'guest_cancellations',
    ]);
  });
});

describe('histograms', () => {
  test('put a value at a bound below it, and count what is above all bounds', async () => {
    const metrics = new Metrics('worker');
    const { queueDuration } = metrics.instruments;
    for (const seconds of [10e-6, 11e-6, 30, 31]) queueDuration.record(seconds, 'sync');
    const { points, definition } = await snapshotOf(metrics, 'mayfly.queue.duration');
    const value = points[0]?.value;
    if (typeof value !== 'object') expect.unreachable();
    const { buckets = [] } = definition;
    expect(value.counts[0]).toBe(1);
    expect(value.counts[1]).toBe(1);
    expect(value.counts[buckets.length - 1]).toBe(1);
    expect(value.counts[buckets.length]).toBe(1);
    expect(value.count).toBe(4);
    expect(value.sum).toBeCloseTo(61.000021);
  });

  test('take no value that is not one', async () => {
    const metrics = new Metrics('worker');
    for (const value of [Number.NaN, -1, Number.POSITIVE_INFINITY])
      metrics.instruments.queueDuration.record(value, 'sync');
    expect(await metrics.collect()).toEqual([]);
  });
});

describe('bounded labels', () => {
  test('tell the first 200 functions apart, and count the rest as other', async () => {
    const metrics = new Metrics('worker');
    for (let index = 0; index < BUSIEST + 50; index += 1)
      metrics.instruments.functionInvocations.add(1, 'tenant', `f${index}`, 'succeeded');
    const { points } = await snapshotOf(metrics, 'mayfly.function.invocations');
    expect(points).toHaveLength(BUSIEST + 1);
    expect(points.at(-1)).toMatchObject({ labels: [OTHER, OTHER, 'succeeded'], value: 50 });
  });

  test('metrics of one group tell the same functions apart', async () => {
    const metrics = new Metrics('worker');
    const { functionInvocations, functionDuration } = metrics.instruments;
    for (let index = 0; index < BUSIEST; index += 1)
      functionInvocations.add(1, 't', `f${index}`, 'succeeded');
    functionDuration.record(1, 't', 'late');
    const { points } = await snapshotOf(metrics, 'mayfly.function.duration');
    expect(points.map(({ labels }) => labels)).toEqual([[OTHER, OTHER]]);
  });

  test('a busy newcomer takes the place of a quiet value', () => {
    const busiest = new Busiest(2);
    const dropped: string[] = [];
    busiest.onDropped = (value) => dropped.push(value);
    busiest.names('quiet');
    for (let count = 0; count < 2000; count += 1) busiest.names('busy');
    for (let count = 0; count < 6000; count += 1) busiest.names('newcomer');
    expect(dropped).toEqual(['quiet']);
    expect(busiest.names('newcomer')).toBe(true);
    expect(busiest.names('busy')).toBe(true);
    expect(busiest.names('quiet')).toBe(false);
  });

  test('a flood of names that come once takes nobody’s place', () => {
    const busiest = new Busiest(2);
    const dropped: string[] = [];
    busiest.onDropped = (value) => dropped.push(value);
    busiest.names('a');
    busiest.names('b');
    for (let count = 0; count < 20_000; count += 1) {
      busiest.names(count % 2 === 0 ? 'a' : 'b');
      busiest.names(`made-up-${count}`);
    }
    expect(dropped).toEqual([]);
  });
});

describe('the Prometheus text', () => {
  test('has cumulative buckets, sum and count', async () => {
    const metrics = new Metrics('worker');
    metrics.instruments.queueDuration.record(20e-6, 'sync');
    metrics.instruments.queueDuration.record(40, 'sync');
    const text = prometheusText(await metrics.collect(), { 'service.name': 'mayfly-worker' });
    expect(text).toContain('# TYPE mayfly_queue_duration_seconds histogram\n');
    expect(text).toContain('mayfly_queue_duration_seconds_bucket{mayfly_lane="sync",le="0.00001"} 0\n');
    expect(text).toContain('mayfly_queue_duration_seconds_bucket{mayfly_lane="sync",le="0.000025"} 1\n');
    expect(text).toContain('mayfly_queue_duration_seconds_bucket{mayfly_lane="sync",le="+Inf"} 2\n');
    expect(text).toContain('mayfly_queue_duration_seconds_count{mayfly_lane="sync"} 2\n');
    expect(text).toContain('target_info{service_name="mayfly-worker"} 1\n');
  });

  test('escapes what a label may hold', async () => {
    const metrics = new Metrics('worker');
    metrics.instruments.guestCallDuration.record(1, 'a"b\\c\nd');
    const text = prometheusText(await metrics.collect(), {});
    expect(text).toContain('guest_call_duration_seconds_count{function_name="a\\"b\\\\c\\nd"} 1\n');
  });
});
