/**
 * How long a call may hold up another one that has a free slot to go to: long against what it costs to make a call
 * anew elsewhere, which may need a sandbox of its own there.
 */
const HELD_UP_MS = 10;

/** A leased sandbox's call: it runs on its slot, or waits behind the calls that came before. */
export interface SlotCall {
  readonly slot: number;
  /** Takes the call off its slot; it is then made again elsewhere. False: it has begun, and stays. */
  revoke(): boolean;
}

interface SlotQueue {
  readonly calls: SlotCall[];
  /** When the first call came to be the first, in `performance.now()` milliseconds. */
  firstSinceMs: number;
}

/**
 * Which slot has how many calls. A sandbox stays with its slot, so a call can wait behind a long one while another
 * slot is free; such a call is revoked.
 */
export class SlotQueues {
  readonly #slots: number;
  /** Slots that have calls, by number. */
  readonly #queues = new Map<number, SlotQueue>();
  #timer: NodeJS.Timeout | undefined;

  constructor(slots: number) {
    this.#slots = slots;
  }

  /** Slots that have calls. */
  get busy(): number {
    return this.#queues.size;
  }

  /** Whether a slot has nothing to do. */
  get hasFree(): boolean {
    return this.#queues.size < this.#slots;
  }

  /** Calls that run or wait on a slot. */
  callsOn(slot: number | undefined): number {
    return slot === undefined ? 0 : (this.#queues.get(slot)?.calls.length ?? 0);
  }

  enter(call: SlotCall): void {
    const queue = this.#queues.get(call.slot);
    if (queue === undefined) {
      this.#queues.set(call.slot, { calls: [call], firstSinceMs: performance.now() });
      return;
    }
    queue.calls.push(call);
    // Timers come first in a turn of the event loop: calls that ended while it was busy are told only after them.
    this.#timer ??= setInterval(() => setImmediate(() => this.#check()), HELD_UP_MS);
  }

  /** The call has ended. Harmless for one that was revoked. */
  leave(call: SlotCall): void {
    const queue = this.#queues.get(call.slot);
    const index = queue?.calls.indexOf(call) ?? -1;
    if (queue === undefined || index < 0) return;
    queue.calls.splice(index, 1);
    if (queue.calls.length === 0) this.#queues.delete(call.slot);
    else if (index === 0) queue.firstSinceMs = performance.now();
  }

  #check(): void {
    const overdueSinceMs = performance.now() - HELD_UP_MS;
    let free = this.#slots - this.#queues.size;
    let isAnyWaiting = false;
    for (const { calls, firstSinceMs } of this.#queues.values()) {
      if (firstSinceMs <= overdueSinceMs)
        for (const call of calls.slice(1)) {
          if (free === 0) break;
          // One that has just begun, or still gets its sandbox ready, stays where it is.
          if (!call.revoke()) continue;
          free -= 1;
          calls.splice(calls.indexOf(call), 1);
        }
      isAnyWaiting ||= calls.length > 1;
    }
    if (isAnyWaiting) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
