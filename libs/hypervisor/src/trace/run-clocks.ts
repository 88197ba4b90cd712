import type { RunClock } from '../driver.js';

/** Runs whose clocks are kept: a batch tells of the run that brings it, hardly ever of one long ago. */
const MAX_KEPT = 256;

/**
 * Maps the guest's time stamps to the host's clock. Each run of a call brings two moments that both clocks know; a
 * stamp between them is mapped in a straight line, so that no frequency has to be known. A stamp of no run (the guest
 * lies, or it was taken before a snapshot) goes to the nearest moment of one.
 */
export class RunClocks {
  readonly #clocks: RunClock[] = [];
  #firstNs: number | undefined;

  /** A clock that runs backwards, or starts before the one of the run before, is not taken. */
  add(clock: RunClock): void {
    const { enteredNs, leftNs } = clock;
    if (!(leftNs >= enteredNs && enteredNs >= (this.#clocks.at(-1)?.leftNs ?? 0))) return;
    if (leftNs > Number.MAX_SAFE_INTEGER) return;
    this.#firstNs ??= clock.enteredNs;
    if (this.#clocks.length === MAX_KEPT) this.#clocks.shift();
    this.#clocks.push(clock);
  }

  /** CLOCK_MONOTONIC of the call's first entry; `undefined` before the first run. */
  get firstEnteredNs(): number | undefined {
    return this.#firstNs;
  }

  /** Of the latest exit, since the call's first entry. */
  get lastLeftNs(): number {
    return this.sinceEntryNs(this.#clocks.at(-1)?.leftNs ?? 0);
  }

  /** @param monotonicNs a moment of CLOCK_MONOTONIC */
  sinceEntryNs(monotonicNs: number): number {
    return this.#firstNs === undefined ? 0 : Math.max(0, monotonicNs - this.#firstNs);
  }

  /** Nanoseconds since the call's first entry, within the time of its runs. */
  map(tsc: bigint): number {
    for (let index = this.#clocks.length - 1; index >= 0; index--) {
      const clock = this.#clocks[index] as RunClock;
      if (tsc >= clock.enteredTsc) return this.sinceEntryNs(within(clock, tsc));
    }
    return this.sinceEntryNs(this.#clocks[0]?.enteredNs ?? 0);
  }
}

function within({ enteredNs, leftNs, enteredTsc, leftTsc }: RunClock, tsc: bigint): number {
  if (tsc >= leftTsc || leftTsc <= enteredTsc) return leftNs;
  return enteredNs + (leftNs - enteredNs) * (Number(tsc - enteredTsc) / Number(leftTsc - enteredTsc));
}
