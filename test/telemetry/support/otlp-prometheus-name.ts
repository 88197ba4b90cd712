import type { OtlpMetric } from './otlp-decoders.js';

/**
 * The series names that a metric gets on its way from OTLP into Prometheus, written down from OpenTelemetry's
 * "Prometheus and OpenMetrics Compatibility", for the units that Mayfly uses; independent of what the code does.
 */
export function seriesNames(metric: OtlpMetric): string[] {
  let name = metric.name.replaceAll(/[^a-zA-Z0-9:_]/g, '_').replaceAll(/__+/g, '_');
  const unit = metric.unit ?? '';
  const spelled = { s: 'seconds', ms: 'milliseconds', By: 'bytes' }[unit];
  if (spelled !== undefined) name += `_${spelled}`;
  if (unit === '1' && metric.gauge !== undefined) name += '_ratio';
  if (metric.sum?.isMonotonic === true && !name.endsWith('_total')) name += '_total';
  return metric.histogram === undefined
    ? [name]
    : ['_bucket', '_sum', '_count'].map((suffix) => `${name}${suffix}`);
}
