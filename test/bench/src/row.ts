/**
 * One row of the benchmark: ours against a floor measured in the same run. `ratio` is ours ÷ floor in `unit`;
 * rows whose aim is "at least" are rates. `samples` counts what each side's median was taken from.
 */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly ours: number;
  readonly floor: number;
  readonly ratio: number;
  readonly samples: number;
}

/** What one benchmark needs: where files are, where to put more, which of its rows are asked for. */
export interface BenchContext {
  readonly root: string;
  readonly scratchFolder: string;
  readonly wanted: readonly string[];
}

/** One or more rows that are measured together, interleaved. */
export interface Benchmark {
  readonly rows: readonly string[];
  run(context: BenchContext): Promise<Row[]>;
}

/** `oursAtMost` bounds what is measured itself, in the row's unit; the others its ratio. */
export interface Aim {
  readonly atMost?: number;
  readonly atLeast?: number;
  readonly oursAtMost?: number;
}

/** The promises of the issue: a ceiling for times, a floor for rates, nothing for rows that only report. */
export const AIMS: Readonly<Record<string, Aim>> = {
  'warm-call': { atMost: 1.3 },
  'guest-call': { atMost: 1.6 },
  'guest-call-js': { atMost: 4 },
  'ring0-guest-call': { atMost: 1.6 },
  'restore-1g-16': { atMost: 1.5 },
  'two-threads': { atLeast: 1.7 },
  'cold-call': { atMost: 0.5 },
  kill: { atMost: 2 },
  'host-call-js': { atMost: 3 },
  'cell-overhead': { atMost: 1.05 },
  'flood-light': { oursAtMost: 50 },
  'flood-total': { atMost: 1.2 },
  weights: { atLeast: 2.7, atMost: 3.3 },
  'e2e-latency': { atMost: 0.65 },
  'e2e-throughput': { atLeast: 2.3 },
};

export function row(name: string, unit: string, ours: readonly number[], floor: readonly number[]): Row {
  const [a, b] = [median(ours), median(floor)];
  return {
    name,
    unit,
    ours: round(a),
    floor: round(b),
    ratio: round(a / b),
    samples: Math.min(ours.length, floor.length),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle] as number;
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

const round = (value: number) => Number(value.toPrecision(4));
