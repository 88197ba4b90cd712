/** An operation that a cell has to end in time. */
export interface Watched {
  /** From the moment that its slot is free for it; infinite: it may take for ever. */
  readonly limitMs: number;
  /** From a kill, when that comes later. */
  readonly killLimitMs: number;
  killedAtMs: number | undefined;
}

/**
 * The operations of one slot, in the order in which they were posted: the slot takes them one after the other, so only
 * the first can be late. All times are the worker's own; a cell is not asked.
 */
export class SlotWatch {
  readonly #queue: Watched[] = [];
  #freeSinceMs = 0;

  add(operation: Watched, nowMs: number): void {
    if (this.#queue.length === 0) this.#freeSinceMs = nowMs;
    this.#queue.push(operation);
  }

  remove(operation: Watched, nowMs: number): void {
    if (this.#queue[0] === operation) {
      this.#queue.shift();
      this.#freeSinceMs = nowMs;
      return;
    }
    const index = this.#queue.indexOf(operation);
    if (index > 0) this.#queue.splice(index, 1);
  }

  /** @param slackMs what the slot may have had to do beside its queue */
  isLate(nowMs: number, slackMs: number): boolean {
    const [first] = this.#queue;
    if (first === undefined) return false;
    const { limitMs, killLimitMs, killedAtMs } = first;
    let untilMs = this.#freeSinceMs + limitMs;
    if (killedAtMs !== undefined)
      untilMs = Math.min(untilMs, Math.max(this.#freeSinceMs, killedAtMs) + killLimitMs);
    return nowMs > untilMs + slackMs;
  }

  /** What the queue may still take. */
  get backlogMs(): number {
    return this.#queue.reduce((sum, { limitMs }) => sum + limitMs, 0);
  }
}
