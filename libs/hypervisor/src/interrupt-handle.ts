import type { DriverInterrupt } from './driver.js';

/**
 * Ends the active call of a sandbox from anywhere (guest-abi 10.1, with the defects of the reference mended).
 * Never blocks; a kill never reaches a later call.
 */
export class InterruptHandle {
  readonly #interrupt: DriverInterrupt;
  readonly #cut: (active: boolean) => boolean;

  /**
   * @param cut told of each kill, and whether the driver found a call: ends a wait for a host function, or a call that
   * is being prepared. Answers whether there was a call.
   */
  constructor(interrupt: DriverInterrupt, cut: (active: boolean) => boolean) {
    this.#interrupt = interrupt;
    this.#cut = cut;
  }

  /**
   * A running guest is stopped; a call that waits for an asynchronous host function settles at once, and the
   * function's late answer is dropped.
   *
   * @returns whether a call was active, in the guest or in a host function. It may have come to its end on its own
   * in the same moment; its report says which.
   */
  kill(): boolean {
    return this.#cut(this.#interrupt.kill());
  }

  /** True once the VM is closed. */
  dropped(): boolean {
    return this.#interrupt.dropped;
  }
}
