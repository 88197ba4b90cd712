import { METRICS, type MetricDefinition, type MetricKey, type Process } from '../names/metrics.js';
import { Busiest } from './busiest.js';
import { HistogramInstrument, type HistogramValue, NumberInstrument, type Point } from './instrument.js';

/** One metric as it is at a moment. */
export interface MetricSnapshot {
  readonly definition: MetricDefinition;
  readonly points: readonly Point<number | HistogramValue>[];
}

type InstrumentOf<D> = D extends { readonly type: 'histogram' } ? HistogramInstrument : NumberInstrument;
type OfProcess<P extends Process> = {
  [K in MetricKey]: P extends (typeof METRICS)[K]['by'][number] ? K : never;
}[MetricKey];
/** The instruments of one process, by the keys of `METRICS`. */
export type Instruments<P extends Process> = {
  readonly [K in OfProcess<P>]: InstrumentOf<(typeof METRICS)[K]>;
};

/** How long a collection waits for an observer. */
const OBSERVER_TIMEOUT_MS = 2_000;

/**
 * The metrics of one process. Recording is a few map look-ups and needs no SDK, so it is always on; `/metrics` and OTLP
 * read the same instruments.
 */
export class Metrics<P extends Process> {
  readonly instruments: Instruments<P>;
  readonly #all: readonly (NumberInstrument | HistogramInstrument)[];
  readonly #observed: { keys: readonly MetricKey[]; observe: () => void | Promise<void> }[] = [];

  constructor(process: P) {
    const groups = new Map<string, ReturnType<typeof newGroup>>();
    const entries = Object.entries(METRICS as Readonly<Record<string, MetricDefinition>>)
      .filter(([, { by }]) => by.includes(process))
      .map(([key, definition]) => {
        const { bounded } = definition;
        const group = bounded && (groups.get(bounded.group) ?? newGroup());
        if (bounded && group) groups.set(bounded.group, group);
        const instrument =
          definition.type === 'histogram'
            ? new HistogramInstrument(definition, group?.busiest)
            : new NumberInstrument(definition, group?.busiest);
        group?.members.push(instrument);
        return [key, instrument] as const;
      });
    this.instruments = Object.fromEntries(entries) as unknown as Instruments<P>;
    this.#all = entries.map(([, instrument]) => instrument);
  }

  /**
   * Metrics whose values are looked up at each collection, such as gauges: they are cleared before it, and `observe`
   * adds what there is. An observer that fails or takes longer than two seconds leaves out what it has not added.
   */
  observe(keys: readonly OfProcess<P>[], observe: () => void | Promise<void>): void {
    this.#observed.push({ keys, observe });
  }

  /** All metrics that have a value. */
  async collect(): Promise<MetricSnapshot[]> {
    const byKey = this.instruments as Readonly<Record<string, NumberInstrument | HistogramInstrument>>;
    await Promise.all(
      this.#observed.map(async ({ keys, observe }) => {
        for (const key of keys) {
          const instrument = byKey[key];
          if (instrument instanceof NumberInstrument) instrument.clear();
        }
        await within(observe, OBSERVER_TIMEOUT_MS);
      }),
    );
    return this.#all
      .map((instrument) => ({ definition: instrument.definition, points: instrument.points() }))
      .filter(({ points }) => points.length > 0);
  }
}

function newGroup() {
  const busiest = new Busiest();
  const members: (NumberInstrument | HistogramInstrument)[] = [];
  busiest.onDropped = (value) => {
    for (const member of members) member.drop(value);
  };
  return { busiest, members };
}

async function within(observe: () => void | Promise<void>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  try {
    await Promise.race([Promise.resolve(observe()), late]);
  } catch {
    // A metric that cannot be looked up is missing, which is what an alert on its absence sees.
  } finally {
    clearTimeout(timer);
  }
}
