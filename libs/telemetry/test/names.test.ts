import {
  ATTRIBUTES,
  METRICS,
  type MetricDefinition,
  prometheusLabel,
  prometheusName,
} from '@mayfly/telemetry';
import { describe, expect, test } from 'vitest';

const metrics: readonly MetricDefinition[] = Object.values(METRICS);

describe('names of metrics', () => {
  test('are each used once, in OTLP and in Prometheus', () => {
    expect(new Set(metrics.map(({ name }) => name)).size).toBe(metrics.length);
    expect(new Set(metrics.map(prometheusName)).size).toBe(metrics.length);
  });

  test('fit the character set of OTLP and of Prometheus', () => {
    for (const metric of metrics) {
      expect(metric.name).toMatch(/^[a-z][a-z0-9._]{0,254}$/);
      expect(prometheusName(metric)).toMatch(/^[a-z_][a-z0-9_]*$/);
    }
  });

  test.each([
    [METRICS.invokeDuration, 'faas_invoke_duration_seconds'],
    [METRICS.guestErrors, 'guest_errors_total'],
    [METRICS.guestCancellations, 'guest_cancellations_total'],
    [METRICS.guestCallDuration, 'guest_call_duration_seconds'],
    [METRICS.hostCallDuration, 'host_call_duration_seconds'],
    [METRICS.memoryUsage, 'faas_mem_usage_bytes'],
    [METRICS.cpuTime, 'process_cpu_time_seconds_total'],
    [METRICS.eventLoopUtilization, 'nodejs_eventloop_utilization_ratio'],
    [METRICS.vmSlots, 'mayfly_vm_slots'],
  ])('$name is $1 in Prometheus', (metric, expected) => {
    expect(prometheusName(metric)).toBe(expected);
  });
});

test('labels are attributes of the one list', () => {
  const known = new Set<string>(Object.values(ATTRIBUTES));
  const strangers = metrics.flatMap(({ labels }) => labels).filter((label) => !known.has(label));
  expect(strangers).toEqual([]);
  expect(prometheusLabel(ATTRIBUTES.faasInvocationId)).toBe('faas_invocation_id');
});

test('histograms have ascending buckets; durations begin at 10 µs', () => {
  const histograms = metrics.filter(({ type }) => type === 'histogram');
  expect(histograms.length).toBeGreaterThan(10);
  for (const { name, buckets = [], unit } of histograms) {
    expect(
      [...buckets].sort((a, b) => a - b),
      name,
    ).toEqual(buckets);
    expect(buckets.length, name).toBeGreaterThan(5);
    if (unit === 's') expect(buckets[0], name).toBe(10e-6);
  }
});
