import type { Gate } from '@mayfly/queue';
import type { Host } from './hosts.js';

/** Jobs of a class with the workers, for each of their slots: one runs, the next is there when it ends. */
const JOBS_PER_SLOT = 2;
/** Few slots, or none that is known of yet. */
const SMALLEST_WINDOW = 8;
const BUSY_MS = 250;
const IDLE_MS = 1_000;

/**
 * What no call's coming or going does: the window follows the live workers, places of dead holders are found, attempts
 * whose time has come are queued. Every gateway does it; each step is one script, so two at once do no harm.
 */
export class GatePump {
  readonly #gate: Pick<Gate, 'pump'>;
  readonly #live: () => Promise<readonly Pick<Host, 'slots'>[]>;
  #window = SMALLEST_WINDOW;
  #timer: NodeJS.Timeout | undefined;
  #isBusy = false;
  #isStopped = false;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(gate: Pick<Gate, 'pump'>, live: () => Promise<readonly Pick<Host, 'slots'>[]>) {
    this.#gate = gate;
    this.#live = live;
  }

  get window(): number {
    return this.#window;
  }

  /** Resolves when the window is known; without Redis it is looked for later. */
  async start(): Promise<void> {
    await this.#turn();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  /** Calls wait: turns come faster. */
  wake(): void {
    if (this.#isBusy || this.#isStopped) return;
    this.#isBusy = true;
    this.#schedule(BUSY_MS);
  }

  async #turn(): Promise<void> {
    let afterMs = IDLE_MS;
    try {
      if (performance.now() - this.#lookedAt >= IDLE_MS) await this.#look();
      const { waiting, nextDueMs } = await this.#gate.pump(this.#window);
      this.#isBusy = waiting.sync + waiting.async > 0;
      if (this.#isBusy) afterMs = BUSY_MS;
      else if (nextDueMs !== undefined) afterMs = Math.min(IDLE_MS, Math.max(10, nextDueMs - Date.now()));
    } catch {
      // Without Redis nothing waits for this; the next turn looks again.
      this.#isBusy = false;
    }
    this.#schedule(afterMs);
  }

  async #look(): Promise<void> {
    this.#lookedAt = performance.now();
    const slots = (await this.#live()).reduce((sum, host) => sum + host.slots, 0);
    this.#window = Math.max(SMALLEST_WINDOW, JOBS_PER_SLOT * slots);
  }

  #schedule(afterMs: number): void {
    clearTimeout(this.#timer);
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => void this.#turn(), afterMs);
    this.#timer.unref();
  }
}
