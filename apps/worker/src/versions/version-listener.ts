import { channels, type FunctionRef, keys, type PrepareOrder } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { parseFunctionRef } from '../job-parser.js';

/** Announcements may be lost, and a host may have had no room: what nobody has prepared is looked for this often. */
const LOOK_EVERY_MS = 5_000;
/** Versions that one look takes. */
const LOOK_COUNT = 32;

export interface VersionListenerOptions {
  readonly redis: Redis;
  /** Belongs to the caller; others listen on it, too. */
  readonly subscriber: Redis;
  readonly onVersion: (ref: FunctionRef, warmId?: string) => void;
  readonly onError: (error: unknown) => void;
}

/**
 * Hears of versions that are to be prepared: of an upload and of a request to warm one up at once, and of what no
 * worker has prepared yet when it starts and now and then.
 */
export class VersionListener {
  readonly #options: VersionListenerOptions;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(options: VersionListenerOptions) {
    this.#options = options;
  }

  /** Resolves once announcements are heard. */
  async start(): Promise<void> {
    const { redis, subscriber, onError } = this.#options;
    subscriber.on('message', (channel, message) => {
      if (channel === channels.versions) this.#take(message);
    });
    await subscriber.subscribe(channels.versions);
    await this.#look().catch(onError);
    this.#timer = setInterval(() => {
      if (redis.status === 'ready') this.#look().catch(onError);
    }, LOOK_EVERY_MS);
  }

  /** Prepares nothing from here on. */
  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const entries = (await this.#options.redis.hrandfield(keys.unprepared, LOOK_COUNT, 'WITHVALUES')) ?? [];
    for (let i = 1; i < entries.length; i += 2) this.#take(String(entries[i]));
  }

  #take(text: string): void {
    const { onVersion, onError } = this.#options;
    if (this.#isStopped) return;
    try {
      const order: Partial<PrepareOrder> | null = JSON.parse(text);
      const ref = parseFunctionRef(order);
      if (ref === undefined) return;
      const warmId = order?.warmId;
      onVersion(ref, typeof warmId === 'string' && /^[0-9a-f]{32}$/.test(warmId) ? warmId : undefined);
    } catch (error) {
      onError(error);
    }
  }
}
