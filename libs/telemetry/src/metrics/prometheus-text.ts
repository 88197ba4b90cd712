import { prometheusLabel, prometheusName } from '../names/prometheus.js';
import type { HistogramValue, Point } from './instrument.js';
import type { MetricSnapshot } from './metrics.js';

export const PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

const TYPES = {
  counter: 'counter',
  'up-down-counter': 'gauge',
  gauge: 'gauge',
  histogram: 'histogram',
} as const;

/** Metrics in Prometheus' text format, with the resource as `target_info`, as the OTLP path ends in. */
export function prometheusText(
  metrics: readonly MetricSnapshot[],
  resource: Readonly<Record<string, string>>,
): string {
  const lines = [
    '# HELP target_info Target metadata',
    '# TYPE target_info gauge',
    `target_info${labelText(Object.entries(resource))} 1`,
  ];
  for (const { definition, points } of metrics) {
    const name = prometheusName(definition);
    lines.push(
      `# HELP ${name} ${helpText(definition.description)}`,
      `# TYPE ${name} ${TYPES[definition.type]}`,
    );
    for (const point of points) {
      const labels = definition.labels.map((label, index) => [label, point.labels[index] ?? ''] as const);
      if (typeof point.value === 'number')
        lines.push(`${name}${labelText(labels)} ${numberText(point.value)}`);
      else
        lines.push(...histogramLines(name, labels, definition.buckets ?? [], point as Point<HistogramValue>));
    }
  }
  return `${lines.join('\n')}\n`;
}

type Labels = readonly (readonly [name: string, value: string])[];

function histogramLines(
  name: string,
  labels: Labels,
  buckets: readonly number[],
  { value: { counts, sum, count } }: Point<HistogramValue>,
): string[] {
  let below = 0;
  const bucketLines = counts.map((inBucket, index) => {
    below += inBucket;
    const bound = buckets[index];
    const le = bound === undefined ? '+Inf' : String(bound);
    return `${name}_bucket${labelText([...labels, ['le', le]])} ${below}`;
  });
  return [
    ...bucketLines,
    `${name}_sum${labelText(labels)} ${numberText(sum)}`,
    `${name}_count${labelText(labels)} ${count}`,
  ];
}

function labelText(labels: Labels): string {
  // A label without a value is one that is not there.
  const set = labels.filter(([, value]) => value !== '');
  if (set.length === 0) return '';
  return `{${set.map(([name, value]) => `${prometheusLabel(name)}="${escaped(value)}"`).join(',')}}`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function helpText(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}
