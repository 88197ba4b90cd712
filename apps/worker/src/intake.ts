import type { Lane } from './lane.js';
import type { StopReason } from './processor.js';
import { within } from './within.js';

/**
 * The lanes of a worker, opened and closed as its operators say. BullMQ's own pause waits for the jobs that run before
 * it can be undone; here closed lanes finish what they have beside new ones.
 */
export class Intake {
  readonly #makeLanes: () => readonly Lane[];
  #open: readonly Lane[] = [];
  readonly #closing = new Map<Promise<unknown>, readonly Lane[]>();

  constructor(makeLanes: () => readonly Lane[]) {
    this.#makeLanes = makeLanes;
  }

  get isOpen(): boolean {
    return this.#open.length > 0;
  }

  /** Jobs that run, on open lanes and on closed ones. */
  get running(): number {
    return this.#all().reduce((sum, lane) => sum + lane.running, 0);
  }

  /** Resolves once jobs are taken. */
  async open(): Promise<void> {
    if (this.isOpen) return;
    this.#open = this.#makeLanes();
    await Promise.all(this.#open.map((lane) => lane.start()));
  }

  /** Takes no more jobs; resolves when all that ran have ended, also those of an earlier close. */
  async close(): Promise<void> {
    const lanes = this.#open;
    this.#open = [];
    if (lanes.length > 0) {
      const closed = Promise.all(lanes.map((lane) => lane.close()));
      this.#closing.set(closed, lanes);
      const forget = () => void this.#closing.delete(closed);
      closed.then(forget, forget);
    }
    await Promise.all(this.#closing.keys());
  }

  /** As `close`; what still runs when the grace is over is stopped. @param isStill whether that is still wanted */
  async drain(graceMs: number, { afterGraceMs, isStill = () => true, onStop }: DrainOptions): Promise<void> {
    const closed = this.close();
    if ((await within(closed, graceMs)) || !isStill()) return;
    onStop(this.running);
    for (const lane of this.#all()) lane.stopAll('drain' satisfies StopReason);
    await within(closed, afterGraceMs);
  }

  #all(): Lane[] {
    return [...this.#open, ...[...this.#closing.values()].flat()];
  }
}

export interface DrainOptions {
  /** What calls that are stopped may take to end. */
  readonly afterGraceMs: number;
  readonly isStill?: () => boolean;
  /** The grace is over, and so many jobs run. */
  readonly onStop: (jobs: number) => void;
}
