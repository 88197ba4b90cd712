import type { DriverInterrupt } from './driver.js';

/**
 * Ends the active call of a sandbox from anywhere (guest-abi 10.1, with the defects of the reference mended).
 * Never blocks; a kill never reaches a later call.
 */
export class InterruptHandle {
  readonly #interrupt: DriverInterrupt;
  readonly #killed: () => void;

  /** @param killed told of each kill that found a call, to end its wait for a host function */
  constructor(interrupt: DriverInterrupt, killed: () => void) {
    this.#interrupt = interrupt;
    this.#killed = killed;
  }

  /**
   * A running guest is stopped; a call that waits for an asynchronous host function settles at once, and the
   * function's late answer is dropped.
   *
   * @returns whether a call was active, in the guest or in a host function. It may have come to its end on its own
   * in the same moment; its report says which.
   */
  kill(): boolean {
    if (!this.#interrupt.kill()) return false;
    this.#killed();
    return true;
  }

  /** True once the VM is closed. */
  dropped(): boolean {
    return this.#interrupt.dropped;
  }
}
