/** What the event loop waits for one cell all together before that cell is given up. */
const BUDGET_MS = 1_000;
/** Of each second that passes, so much is forgiven. */
const FORGIVEN_SHARE = 0.05;

/** Sums up how long a cell made the event loop wait: a tenant must not stop the others by being slow. */
export class WaitBudget {
  #spentMs = 0;
  #sinceMs = 0;

  /** @returns whether that was too much. */
  spend(waitedMs: number, nowMs: number): boolean {
    this.#spentMs = Math.max(0, this.#spentMs - (nowMs - this.#sinceMs) * FORGIVEN_SHARE) + waitedMs;
    this.#sinceMs = nowMs;
    return this.#spentMs > BUDGET_MS;
  }
}
