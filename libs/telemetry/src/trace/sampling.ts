import { newTraceId, type TraceContext } from './context.js';

/** The head's decision, as `OTEL_TRACES_SAMPLER` names it. */
export interface SamplerSettings {
  /** Whether a client's own decision holds. */
  readonly parentBased: boolean;
  /** Share of the traces that nobody decided about, 0 to 1. */
  readonly ratio: number;
}

/** How a call ended, as far as its trace cares. */
export interface CallEnd {
  /** It did not succeed, for whatever reason. */
  readonly failed: boolean;
  readonly totalMs: number;
}

/** Traces that are kept for how their call ended, a second: a function that always fails must not flood the collector. */
const KEPT_PER_SECOND = 50;
const TWO_TO_56 = 2 ** 56;

/**
 * Which traces are exported. The head decides at the beginning: the client's flag, else a share. What it leaves out is
 * decided again at the end, when the spans are made: failed and slow calls are always kept, up to 50 a second.
 */
export class Sampling {
  readonly #settings: SamplerSettings;
  readonly #slowMs: number;
  #second = 0;
  #keptInSecond = 0;

  constructor(settings: SamplerSettings, slowMs: number) {
    this.#settings = settings;
    this.#slowMs = slowMs;
  }

  /** The trace of a request: the client's, or a new one. */
  begin(parent: TraceContext | undefined): { traceId: string; sampled: boolean } {
    if (parent === undefined) {
      const traceId = newTraceId();
      return { traceId, sampled: this.#isInShare(traceId) };
    }
    const { traceId } = parent;
    return { traceId, sampled: this.#settings.parentBased ? parent.sampled : this.#isInShare(traceId) };
  }

  /** Whether a trace that the head left out is kept for its end. */
  keeps({ failed, totalMs }: CallEnd, nowMs = Date.now()): boolean {
    if (!failed && totalMs < this.#slowMs) return false;
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#keptInSecond = 0;
    }
    this.#keptInSecond += 1;
    return this.#keptInSecond <= KEPT_PER_SECOND;
  }

  /** By the last 56 bits of the id, which the specification says are random: every process decides alike. */
  #isInShare(traceId: string): boolean {
    const { ratio } = this.#settings;
    if (ratio >= 1 || ratio <= 0) return ratio >= 1;
    return Number.parseInt(traceId.slice(-14), 16) / TWO_TO_56 >= 1 - ratio;
  }
}
