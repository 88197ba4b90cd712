import { sharedKill } from './drivers/native-shared-kill.js';
import { hypervisorError } from './errors.js';
import { SHARED_CALL_BYTES, SharedWord } from './shared-call.js';

/** Who does what a handle asks for: the VM's owner, or its remote end in another thread. */
export interface InterruptTarget {
  kill(): boolean;
  readonly dropped: boolean;
  share(): SharedInterrupt;
}

/** An interrupt handle on its way to another thread of the process: `postMessage` and `workerData` take it. */
export interface SharedInterrupt {
  readonly call: SharedArrayBuffer;
  /** How the driver finds the VM in another thread. Absent: kills go by the event loop of the VM's owner. */
  readonly driver?: number;
}

/** The interrupt handle of a VM that another thread owns (`SharedCall`). */
export class RemoteInterrupt implements InterruptTarget {
  readonly #words: BigInt64Array;
  readonly #shared: SharedInterrupt;
  readonly #native: ReturnType<typeof sharedKill>;

  /** @throws MAYFLY_ERR_SHARED_INTERRUPT, MAYFLY_ERR_NO_HYPERVISOR */
  constructor(shared: SharedInterrupt) {
    const { call, driver } = Object(shared) as Partial<SharedInterrupt>;
    const isShared = call instanceof SharedArrayBuffer && call.byteLength === SHARED_CALL_BYTES;
    if (!isShared || (driver !== undefined && !(Number.isSafeInteger(driver) && driver > 0)))
      throw hypervisorError('MAYFLY_ERR_SHARED_INTERRUPT', 'this is not what InterruptHandle.share() gives');
    this.#words = new BigInt64Array(call);
    this.#shared = driver === undefined ? { call } : { call, driver };
    this.#native = driver === undefined ? undefined : sharedKill(driver);
  }

  kill(): boolean {
    const words = this.#words;
    const call = Atomics.load(words, SharedWord.CALL);
    if ((call & 1n) === 0n || this.dropped) return false;
    if (!this.#stamp(call >> 1n)) return true;
    const driverCall = Atomics.load(words, SharedWord.DRIVER_CALL);
    if (Atomics.load(words, SharedWord.CALL) === call) this.#native?.kill(Number(driverCall));
    Atomics.notify(words, SharedWord.KILLED);
    return true;
  }

  get dropped(): boolean {
    if (Atomics.load(this.#words, SharedWord.DROPPED) !== 0n) return true;
    return this.#shared.driver !== undefined && (this.#native?.dropped() ?? true);
  }

  share(): SharedInterrupt {
    return this.#shared;
  }

  /** Upwards only, as `Interrupt::kill` of the core. @returns whether this call was not killed before. */
  #stamp(generation: bigint): boolean {
    let stamped = Atomics.load(this.#words, SharedWord.KILLED);
    while (stamped < generation) {
      const found = Atomics.compareExchange(this.#words, SharedWord.KILLED, stamped, generation);
      if (found === stamped) return true;
      stamped = found;
    }
    return false;
  }
}
