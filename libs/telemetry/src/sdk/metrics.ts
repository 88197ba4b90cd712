import { ValueType } from '@opentelemetry/api';
import { emptyResource } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  type CollectionResult,
  type DataPoint,
  DataPointType,
  type Histogram,
  type MetricData,
  type MetricProducer,
} from '@opentelemetry/sdk-metrics';
import type { HistogramValue, Point } from '../metrics/instrument.js';
import type { MetricSnapshot, Metrics } from '../metrics/metrics.js';
import type { MetricDefinition, Process } from '../names/metrics.js';
import { SCOPES } from '../names/spans.js';
import { unixNs } from '../trace/clock.js';
import { hrTime } from './values.js';

/** Our instruments as a source of the SDK's reader. */
export function metricProducer(metrics: Pick<Metrics<Process>, 'collect'>): MetricProducer {
  return {
    async collect(): Promise<CollectionResult> {
      const snapshots = await metrics.collect();
      const endMs = Date.now();
      return {
        resourceMetrics: {
          resource: emptyResource(),
          scopeMetrics: [
            { scope: { name: SCOPES.mayfly }, metrics: snapshots.map((metric) => metricData(metric, endMs)) },
          ],
        },
        errors: [],
      };
    },
  };
}

function metricData({ definition, points }: MetricSnapshot, endMs: number): MetricData {
  const { name, description, unit, type, buckets = [] } = definition;
  const base = {
    descriptor: { name, description, unit, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  switch (type) {
    case 'histogram':
      return {
        ...base,
        dataPointType: DataPointType.HISTOGRAM,
        dataPoints: points.map((point) =>
          dataPoint(definition, point, endMs, histogram(point.value as HistogramValue, buckets)),
        ),
      };
    case 'gauge':
      return { ...base, dataPointType: DataPointType.GAUGE, dataPoints: numbers(definition, points, endMs) };
    default:
      return {
        ...base,
        dataPointType: DataPointType.SUM,
        isMonotonic: type === 'counter',
        dataPoints: numbers(definition, points, endMs),
      };
  }
}

function numbers(definition: MetricDefinition, points: MetricSnapshot['points'], endMs: number) {
  return points.map((point) => dataPoint(definition, point, endMs, point.value as number));
}

function dataPoint<T>(
  { labels }: MetricDefinition,
  point: Point<unknown>,
  endMs: number,
  value: T,
): DataPoint<T> {
  const set = labels
    .map((label, index) => [label, point.labels[index] ?? ''] as const)
    .filter(([, text]) => text !== '');
  return {
    startTime: hrTime(unixNs(point.startMs)),
    endTime: hrTime(unixNs(endMs)),
    attributes: Object.fromEntries(set),
    value,
  };
}

function histogram({ counts, sum, count }: HistogramValue, boundaries: readonly number[]): Histogram {
  return { buckets: { boundaries: [...boundaries], counts: [...counts] }, sum, count };
}
