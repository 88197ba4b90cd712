import {
  METRICS,
  type MetricDefinition,
  type MetricKey,
  prometheusLabel,
  prometheusName,
} from '@mayfly/telemetry';

/** The window of rates: the generators fill it in, each as its server wants it. */
export const WINDOW = '$__window';

export interface Selection {
  /** Label matchers without braces: `mayfly_outcome="timeout"`. */
  readonly where?: string;
  /** Attributes to keep apart. */
  readonly by?: readonly string[];
  readonly window?: string;
}

const definition = (key: MetricKey): MetricDefinition => METRICS[key];
const braces = (where?: string): string => (where ? `{${where}}` : '');
const grouped = (by: readonly string[] = []): string =>
  by.length > 0 ? `sum by (${by.map(prometheusLabel).join(', ')})` : 'sum';

/** Name of a metric's series in Prometheus; of a histogram, without `_bucket`, `_sum` or `_count`. */
export const seriesOf = (key: MetricKey): string => prometheusName(definition(key));

/** `attribute="value"`, or with `=~` a pattern. */
export const equals = (attribute: string, value: string): string =>
  `${prometheusLabel(attribute)}="${value}"`;
export const matches = (attribute: string, pattern: string): string =>
  `${prometheusLabel(attribute)}=~"${pattern}"`;
/** `{{label}}` of a legend. */
export const legendOf = (attribute: string): string => `{{${prometheusLabel(attribute)}}}`;

/** Value of a gauge or up-down counter, summed over processes. */
export const total = (key: MetricKey, { where, by }: Selection = {}): string =>
  `${grouped(by)} (${seriesOf(key)}${braces(where)})`;

/** Value of a gauge that every process reports alike, since it is read in Redis: the largest, not the sum. */
export const shared = (key: MetricKey, { where, by = [] }: Selection = {}): string =>
  `max${by.length > 0 ? ` by (${by.map(prometheusLabel).join(', ')})` : ''} (${seriesOf(key)}${braces(where)})`;

/** Events a second of a counter, or observations a second of a histogram. */
export function perSecond(key: MetricKey, { where, by, window = WINDOW }: Selection = {}): string {
  const series = definition(key).type === 'histogram' ? `${seriesOf(key)}_count` : seriesOf(key);
  return `${grouped(by)} (rate(${series}${braces(where)}[${window}]))`;
}

/** A quantile of a histogram, 0 to 1. */
export function quantile(
  key: MetricKey,
  share: number,
  { where, by, window = WINDOW }: Selection = {},
): string {
  const buckets = `${grouped([...(by ?? []), 'le'])} (rate(${seriesOf(key)}_bucket${braces(where)}[${window}]))`;
  return `histogram_quantile(${share}, ${buckets})`;
}

/** Mean of a histogram. */
export function mean(key: MetricKey, { where, by, window = WINDOW }: Selection = {}): string {
  const part = (suffix: string): string =>
    `${grouped(by)} (rate(${seriesOf(key)}_${suffix}${braces(where)}[${window}]))`;
  return `${part('sum')} / ${part('count')}`;
}

/** What a histogram's values add up to a second: seconds of work, or bytes. */
export const sumPerSecond = (key: MetricKey, { where, by, window = WINDOW }: Selection = {}): string =>
  `${grouped(by)} (rate(${seriesOf(key)}_sum${braces(where)}[${window}]))`;

/** 0 instead of nothing, for counters that have not counted yet. `on()`: not beside what there is. */
export const orZero = (expr: string): string => `(${expr}) or on() vector(0)`;

/** `part / whole`, and 0 where nothing happened at all. */
export const shareOf = (part: string, whole: string): string => orZero(`(${part}) / ((${whole}) > 0)`);
