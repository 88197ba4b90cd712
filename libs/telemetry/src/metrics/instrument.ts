import { OTHER } from '../names/attributes.js';
import type { MetricDefinition } from '../names/metrics.js';
import type { Busiest } from './busiest.js';

const SEPARATOR = '\u0000';

/** A histogram's contents: `counts` has one entry more than the definition has buckets. */
export interface HistogramValue {
  readonly counts: readonly number[];
  readonly sum: number;
  readonly count: number;
}

export interface Point<T = number | HistogramValue> {
  /** In the order of the definition's labels. */
  readonly labels: readonly string[];
  /** Epoch milliseconds from which the value counts. */
  readonly startMs: number;
  readonly value: T;
}

/** The series of one metric, by the values of their labels. */
abstract class Instrument<S extends { readonly labels: readonly string[]; readonly startMs: number }> {
  readonly definition: MetricDefinition;
  readonly #busiest: Busiest | undefined;
  protected readonly series = new Map<string, S>();

  constructor(definition: MetricDefinition, busiest: Busiest | undefined) {
    this.definition = definition;
    this.#busiest = busiest;
  }

  /** Forgets what a bounded label no longer tells apart. `value`: as `Busiest` was given it. */
  drop(value: string): void {
    const bounded = this.definition.bounded?.labels ?? 0;
    for (const [key, { labels }] of this.series)
      if (labels.slice(0, bounded).join(SEPARATOR) === value) this.series.delete(key);
  }

  protected abstract create(labels: readonly string[], startMs: number): S;

  protected find(labels: readonly string[]): S {
    const bounded = this.definition.bounded?.labels ?? 0;
    let named = labels;
    if (this.#busiest !== undefined) {
      const value = bounded === 1 ? (labels[0] ?? '') : labels.slice(0, bounded).join(SEPARATOR);
      if (!this.#busiest.names(value))
        named = labels.map((label, index) => (index < bounded ? OTHER : label));
    }
    const key = named.length === 1 ? (named[0] ?? '') : named.join(SEPARATOR);
    let series = this.series.get(key);
    if (series === undefined) {
      series = this.create([...named], Date.now());
      this.series.set(key, series);
    }
    return series;
  }
}

interface NumberSeries {
  readonly labels: readonly string[];
  readonly startMs: number;
  value: number;
}

/** Counters and gauges. Label values come in the order of the definition's labels, all of them. */
export class NumberInstrument extends Instrument<NumberSeries> {
  #observedSinceMs: number | undefined;

  add(amount: number, ...labels: string[]): void {
    this.find(labels).value += amount;
  }

  /** Drops all series: what is looked up at each collection begins anew. */
  clear(): void {
    this.#observedSinceMs ??= Date.now();
    this.series.clear();
  }

  points(): Point<number>[] {
    return [...this.series.values()].map(({ labels, startMs, value }) => ({ labels, startMs, value }));
  }

  protected create(labels: readonly string[], startMs: number): NumberSeries {
    return { labels, startMs: this.#observedSinceMs ?? startMs, value: 0 };
  }
}

interface HistogramSeries {
  readonly labels: readonly string[];
  readonly startMs: number;
  readonly counts: Float64Array;
  sum: number;
}

export class HistogramInstrument extends Instrument<HistogramSeries> {
  /** As `NumberInstrument.add`. What is no number, or below 0, is not recorded. */
  record(value: number, ...labels: string[]): void {
    if (!(value >= 0 && value < Number.POSITIVE_INFINITY)) return;
    const series = this.find(labels);
    const bucket = bucketOf(value, this.definition.buckets ?? []);
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sum += value;
  }

  points(): Point<HistogramValue>[] {
    return [...this.series.values()].map(({ labels, startMs, counts, sum }) => ({
      labels,
      startMs,
      value: { counts: [...counts], sum, count: counts.reduce((total, count) => total + count, 0) },
    }));
  }

  protected create(labels: readonly string[], startMs: number): HistogramSeries {
    return { labels, startMs, counts: new Float64Array((this.definition.buckets?.length ?? 0) + 1), sum: 0 };
  }
}

/** Index of the first bound that is not below the value. */
function bucketOf(value: number, bounds: readonly number[]): number {
  let low = 0;
  let high = bounds.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value <= (bounds[middle] ?? 0)) high = middle;
    else low = middle + 1;
  }
  return low;
}
