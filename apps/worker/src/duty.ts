import type { HostOrder, HostState } from '@mayfly/contracts';
import type { Intake } from './intake.js';

export interface DutyOptions {
  readonly intake: Intake;
  /** What running calls get to end in when the order is to drain, and what stopped ones get beyond. */
  readonly graceMs: number;
  readonly afterGraceMs: number;
  /** The state is another. */
  readonly onChange: (state: HostState) => void;
  /** Calls were stopped; async ones go to another worker. */
  readonly onStop: (jobs: number) => void;
  readonly onError: (error: unknown) => void;
}

/**
 * What a worker does of what its operators want. The last order counts: an order that comes while an earlier one is
 * carried out takes its place at once, and calls that run then are left to end.
 */
export class Duty {
  readonly #options: DutyOptions;
  #order: HostOrder | undefined;
  #state: HostState = 'active';

  constructor(options: DutyOptions) {
    this.#options = options;
  }

  get state(): HostState {
    return this.#state;
  }

  /** Hears what is ordered now; the same again is nothing new. @param order absent: to take calls */
  obey(order: HostOrder | undefined): void {
    if (this.#state === 'leaving' || order === this.#order) return;
    this.#order = order;
    this.#follow(order).catch(this.#options.onError);
  }

  /** The process shuts down: no order counts any more. */
  leave(): void {
    this.#become('leaving');
  }

  async #follow(order: HostOrder | undefined): Promise<void> {
    const { intake, graceMs, afterGraceMs, onStop, onError } = this.#options;
    if (order === undefined) {
      await intake.open();
      if (this.#isStill(order)) this.#become('active');
      return;
    }
    if (order === 'cordon') {
      this.#become('cordoned');
      intake.close().catch(onError);
      return;
    }
    this.#become('draining');
    await intake.drain(graceMs, { afterGraceMs, onStop, isStill: () => this.#isStill(order) });
    if (this.#isStill(order)) this.#become('drained');
  }

  #isStill(order: HostOrder | undefined): boolean {
    return this.#order === order && this.#state !== 'leaving';
  }

  #become(state: HostState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onChange(state);
  }
}
