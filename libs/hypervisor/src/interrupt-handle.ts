import { type InterruptTarget, RemoteInterrupt, type SharedInterrupt } from './remote-interrupt.js';

/**
 * Ends the active call of a sandbox from anywhere (guest-abi 10.1, with the defects of the reference mended).
 * Never blocks; a kill never reaches a later call.
 */
export class InterruptHandle {
  readonly #target: InterruptTarget;

  /** Not for callers: handles come from `Sandbox.interruptHandle` and `InterruptHandle.from`. */
  constructor(target: InterruptTarget) {
    this.#target = target;
  }

  /**
   * The handle of `share()`, in another worker thread. A running guest stops, whatever the event loop of the sandbox's
   * owner does meanwhile; the call settles there when that loop turns.
   *
   * @throws MAYFLY_ERR_SHARED_INTERRUPT for anything else; MAYFLY_ERR_NO_HYPERVISOR when the addon does not load here.
   */
  static from(shared: SharedInterrupt): InterruptHandle {
    return new InterruptHandle(new RemoteInterrupt(shared));
  }

  /** This handle as plain data, for another worker thread of the process. The same every time. */
  share(): SharedInterrupt {
    return this.#target.share();
  }

  /**
   * A running guest is stopped; a call that waits for an asynchronous host function settles at once, and the
   * function's late answer is dropped.
   *
   * @returns whether a call was active, in the guest or in a host function. It may have come to its end on its own
   * in the same moment; its report says which.
   */
  kill(): boolean {
    return this.#target.kill();
  }

  /** True once the VM is closed. */
  dropped(): boolean {
    return this.#target.dropped;
  }
}
