/** What the SDK's exporters have in common. */
export interface BatchExporter<T> {
  export(batch: T[], done: (result: { code: number; error?: Error }) => void): void;
  shutdown(): Promise<void>;
  forceFlush?(): Promise<void>;
}

const SUCCESS = 0;

/**
 * Bounds what waits for a collector that is slow or away, and counts what is lost: the SDK's own queue drops without
 * telling how much, and does not see what is on its way.
 */
export class BoundedQueue<T> {
  readonly #limit: number;
  readonly #onLost: (count: number, error?: Error) => void;
  #waiting = 0;

  constructor(limit: number, onLost: (count: number, error?: Error) => void) {
    this.#limit = limit;
    this.#onLost = onLost;
  }

  /** Whether one more may wait; counts it, or its loss. */
  admit(): boolean {
    if (this.#waiting >= this.#limit) {
      this.#onLost(1);
      return false;
    }
    this.#waiting += 1;
    return true;
  }

  /** The exporter, with its results counted. */
  watch<E extends BatchExporter<T>>(exporter: E): BatchExporter<T> {
    return {
      export: (batch, done) =>
        exporter.export(batch, (result) => {
          this.#waiting -= batch.length;
          if (result.code !== SUCCESS) this.#onLost(batch.length, result.error);
          done(result);
        }),
      shutdown: () => exporter.shutdown(),
      forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
    };
  }
}
