import { channels } from '@mayfly/contracts';
import type { Redis } from 'ioredis';

/** Pub/sub forgets what it sent while a connection was down, so a watch looks again by itself. */
const LOOK_AGAIN_MS = 1_000;
/** Beyond these, who would wait is answered at once: each wait holds a connection and a subscription. */
const MAX_WATCHES = 1_024;

export interface EndWatchDeps {
  /** Listens for the gateway already; further channels are subscribed to on it. */
  readonly subscriber: Redis;
  /** Whether the invocation has its end on record. */
  readonly hasEnded: (tenant: string, invocationId: string) => Promise<boolean>;
  /** @defaultValue MAX_WATCHES */
  readonly maxWatches?: number;
}

export interface Watch {
  readonly tenant: string;
  readonly invocationId: string;
  readonly waitMs: number;
  /** Ends the wait early: the client has gone. */
  readonly signal?: AbortSignal;
}

/**
 * Waits for the ends of invocations that no reply tells this gateway of: those that outlive their connection, and those
 * of other gateways. A finished one is heard of on its channel, at the latest seen at the next look.
 */
export class EndWatch {
  readonly #deps: EndWatchDeps;
  readonly #maxWatches: number;
  /** Who listens, by channel. */
  readonly #listeners = new Map<string, Set<() => void>>();
  readonly #closed = new AbortController();
  #watches = 0;

  constructor(deps: EndWatchDeps) {
    this.#deps = deps;
    this.#maxWatches = deps.maxWatches ?? MAX_WATCHES;
    deps.subscriber.on('message', (channel: string) => {
      for (const hear of this.#listeners.get(channel) ?? []) hear();
    });
  }

  /** Waits under way. */
  get size(): number {
    return this.#watches;
  }

  /** Ends every wait, and those to come. */
  close(): void {
    this.#closed.abort();
  }

  /**
   * Resolves once the invocation has ended, or its time is over, or nobody wants to know any more.
   * @returns whether it waited; false where too many do already, or the gateway shuts down.
   */
  async wait({ tenant, invocationId, waitMs, signal }: Watch): Promise<boolean> {
    if (waitMs <= 0 || this.#watches >= this.#maxWatches || this.#closed.signal.aborted) return false;
    this.#watches += 1;
    const stops = AbortSignal.any([
      AbortSignal.timeout(waitMs),
      this.#closed.signal,
      ...(signal ? [signal] : []),
    ]);
    const channel = channels.ended(tenant, invocationId);
    const bell = new Bell(stops);
    const hear = () => bell.ring();
    try {
      this.#listen(channel, hear);
      while (!stops.aborted && !(await this.#hasEnded(tenant, invocationId))) await bell.rung(LOOK_AGAIN_MS);
      return true;
    } finally {
      bell.close();
      this.#leave(channel, hear);
      this.#watches -= 1;
    }
  }

  /** While Redis is away nothing is known to have ended. */
  #hasEnded(tenant: string, invocationId: string): Promise<boolean> {
    return this.#deps.hasEnded(tenant, invocationId).catch(() => false);
  }

  /** The record is looked at once more when the subscription holds: what comes later is heard. */
  #listen(channel: string, hear: () => void): void {
    const listeners = this.#listeners.get(channel);
    if (listeners !== undefined) listeners.add(hear);
    else this.#listeners.set(channel, new Set([hear]));
    // Without the subscription the looks alone tell of the end.
    this.#deps.subscriber.subscribe(channel).then(hear, () => undefined);
  }

  #leave(channel: string, hear: () => void): void {
    const listeners = this.#listeners.get(channel);
    listeners?.delete(hear);
    if (listeners?.size !== 0) return;
    this.#listeners.delete(channel);
    this.#deps.subscriber.unsubscribe(channel).catch(() => undefined);
  }
}

/** What is rung before somebody waits is not lost. */
class Bell {
  #isRung = false;
  #wake: () => void = () => undefined;
  readonly #stops: AbortSignal;
  readonly #stop = () => this.ring();

  constructor(stops: AbortSignal) {
    this.#stops = stops;
    stops.addEventListener('abort', this.#stop);
  }

  ring(): void {
    this.#isRung = true;
    this.#wake();
  }

  async rung(atMostMs: number): Promise<void> {
    if (!this.#isRung)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, atMostMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    this.#isRung = false;
  }

  close(): void {
    this.#stops.removeEventListener('abort', this.#stop);
  }
}
