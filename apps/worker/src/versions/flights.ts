import { type FunctionRef, keys, versionKey } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import type { BuildResult, ImageBuilder } from '../pool/guest-image.js';

export interface FlightsOptions {
  readonly redis: Redis;
  readonly workerId: string;
  readonly onError: (error: unknown) => void;
}

/**
 * The versions that are in guests now, noted in Redis before they enter, so that what killed this process is known. A
 * version that is called all the time costs a map's entry per call and no command; one that is called now and then
 * costs two.
 */
export class Flights {
  readonly #options: FlightsOptions;
  readonly #running = new Map<string, number>();
  /** In Redis; those that no longer run leave it with the next sweep. */
  readonly #noted = new Set<string>();

  constructor(options: FlightsOptions) {
    this.#options = options;
  }

  /** The version is about to run. Nothing waits: the note is on its way to the kernel before the guest is. */
  enter(ref: FunctionRef): void {
    const key = versionKey(ref);
    this.#running.set(key, (this.#running.get(key) ?? 0) + 1);
    if (this.#noted.has(key)) return;
    this.#noted.add(key);
    this.#note([key]);
  }

  leave(ref: FunctionRef): void {
    const key = versionKey(ref);
    const running = (this.#running.get(key) ?? 0) - 1;
    if (running > 0) this.#running.set(key, running);
    else this.#running.delete(key);
  }

  /** A builder whose guests' initialisation is a flight, too. */
  over(builder: ImageBuilder): ImageBuilder {
    return {
      build: async (ref: FunctionRef): Promise<BuildResult> => {
        this.enter(ref);
        try {
          return await builder.build(ref);
        } finally {
          this.leave(ref);
        }
      },
    };
  }

  /** Takes out of Redis what does not run. */
  sweep(): void {
    const { redis, workerId, onError } = this.#options;
    const ended = [...this.#noted].filter((key) => !this.#running.has(key));
    if (ended.length === 0) return;
    for (const key of ended) this.#noted.delete(key);
    redis.hdel(keys.flights(workerId), ...ended).catch(onError);
  }

  /** Notes again what runs: others took this process for dead, and its notes with it. */
  noteAgain(): void {
    this.#noted.clear();
    for (const key of this.#running.keys()) this.#noted.add(key);
    if (this.#noted.size > 0) this.#note([...this.#noted]);
  }

  #note(versions: readonly string[]): void {
    const { redis, workerId, onError } = this.#options;
    const fields = versions.flatMap((version) => [version, '1']);
    redis.hset(keys.flights(workerId), ...fields).catch(onError);
  }
}
