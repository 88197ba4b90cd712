import type { MetricDefinition } from './metrics.js';

/** Units as Prometheus spells them; annotations such as `{job}` have no unit. */
const UNITS: Readonly<Record<string, string>> = { s: 'seconds', By: 'bytes' };

/**
 * The name of a metric in Prometheus, and the one it gets from OTLP in a store with Prometheus naming (OpenTelemetry,
 * "Prometheus and OpenMetrics Compatibility"): unit and `_total` are suffixes. A histogram's series add `_bucket`,
 * `_sum` and `_count`.
 */
export function prometheusName({
  name,
  type,
  unit,
}: Pick<MetricDefinition, 'name' | 'type' | 'unit'>): string {
  const suffixes = [
    unit === '1' && type === 'gauge' ? 'ratio' : UNITS[unit],
    type === 'counter' ? 'total' : undefined,
  ];
  const words = suffixes.filter((suffix) => suffix !== undefined && !name.endsWith(`_${suffix}`));
  return [prometheusLabel(name), ...words].join('_');
}

/** The name of an attribute as a Prometheus label. */
export function prometheusLabel(attribute: string): string {
  return attribute.replace(/[^A-Za-z0-9_]/g, '_');
}
