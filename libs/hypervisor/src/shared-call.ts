/** Words of a call that threads share, each 64 bits wide, written with `Atomics`. */
export const SharedWord = {
  /** Generation << 1 | active. Written by the owner of the VM. */
  CALL: 0,
  /** Generation of the latest call that another thread killed, only ever larger. Its owner sleeps on it. */
  KILLED: 1,
  /** The driver's own number of the call, once it has one. Written by the owner. */
  DRIVER_CALL: 2,
  /** 1: the VM is gone. Written by the owner. */
  DROPPED: 3,
} as const;

export const SHARED_CALL_BYTES = 4 * BigInt64Array.BYTES_PER_ELEMENT;

/** Whoever owns the VM, as it is woken. */
export interface SharedCallOwner {
  /** Ends its call if that is the one that another thread killed. */
  takeSharedKill(): void;
}

/**
 * The owner's side of what other threads may know of a VM's calls, and of the kills that they leave.
 *
 * DESIGN. A killer reads CALL, stamps KILLED with its generation, reads DRIVER_CALL, reads CALL again and, if the call is
 * the same, has the driver end that one. The owner begins the driver's call, writes DRIVER_CALL, then reads KILLED. All
 * of it is sequentially consistent: either the killer's DRIVER_CALL is that of its call, or the owner sees the stamp. A
 * DRIVER_CALL read while CALL stood still is of that call or an older one, which the driver no longer takes for active.
 * Whatever the driver did, the stamp wakes the owner's event loop, for what only the owner can end: a wait for a host
 * function, and a call that is being prepared.
 */
export class SharedCall {
  readonly words: BigInt64Array;
  #generation = 0n;

  constructor(owner: SharedCallOwner) {
    this.words = new BigInt64Array(new SharedArrayBuffer(SHARED_CALL_BYTES));
    void listen(this.words, new WeakRef(owner));
    forgotten.register(owner, this.words, this);
  }

  /** A call begins, if none is active. */
  begin(): void {
    if (this.#active) return;
    this.#generation += 1n;
    Atomics.store(this.words, SharedWord.CALL, (this.#generation << 1n) | 1n);
  }

  end(): void {
    Atomics.store(this.words, SharedWord.CALL, this.#generation << 1n);
  }

  /** The driver knows the call, by this number. */
  entered(driverCall: number): void {
    Atomics.store(this.words, SharedWord.DRIVER_CALL, BigInt(driverCall));
  }

  /** Whether another thread has killed the active call. */
  get killed(): boolean {
    return this.#active && Atomics.load(this.words, SharedWord.KILLED) === this.#generation;
  }

  /** The VM is gone. */
  drop(): void {
    forgotten.unregister(this);
    drop(this.words);
  }

  get #active(): boolean {
    return (Atomics.load(this.words, SharedWord.CALL) & 1n) === 1n;
  }
}

function drop(words: BigInt64Array): void {
  Atomics.store(words, SharedWord.DROPPED, 1n);
  Atomics.notify(words, SharedWord.KILLED);
}

/** A VM that nobody holds is closed by its driver; its listener ends, too. */
const forgotten = new FinalizationRegistry(drop);

/** Sleeps on KILLED without keeping owner or process alive. */
async function listen(words: BigInt64Array, owner: WeakRef<SharedCallOwner>): Promise<void> {
  let seen = 0n;
  while (Atomics.load(words, SharedWord.DROPPED) === 0n) {
    const killed = Atomics.load(words, SharedWord.KILLED);
    if (killed === seen) {
      const sleep = Atomics.waitAsync(words, SharedWord.KILLED, killed);
      if (sleep.async) await sleep.value;
    } else {
      seen = killed;
      owner.deref()?.takeSharedKill();
    }
  }
}
