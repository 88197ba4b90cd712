import {
  ALIAS_BUCKET_S,
  ALIAS_LIMITS,
  type AliasRef,
  type FunctionRef,
  keys,
  type Outcome,
} from '@mayfly/contracts';
import type { Redis } from 'ioredis';

const FLUSH_MS = 1_000;
/** Past the longest window that may ask for a bucket. */
const KEPT_MS = (ALIAS_LIMITS.windowS + 60) * 1000;
/** Ends that say nothing of the version: its caller's wish, and the platform's failure. */
const IGNORED: readonly Outcome[] = ['canceled', 'host-fault'];

interface Count {
  readonly key: string;
  readonly version: number;
  requests: number;
  errors: number;
}

/**
 * How the calls of each alias ended, by version: what gateways decide on a roll-back by. The worker counts, since it
 * sees the end of every call, waited for or not; it writes once a second and alias, not per call.
 */
export class AliasCounts {
  readonly #redis: Redis;
  readonly #onError: (error: unknown) => void;
  #counts = new Map<string, Count>();
  #timer: NodeJS.Timeout | undefined;

  constructor(redis: Redis, onError: (error: unknown) => void) {
    this.#redis = redis;
    this.#onError = onError;
  }

  start(): void {
    this.#timer = setInterval(() => {
      if (this.#redis.status === 'ready') this.flush().catch(this.#onError);
    }, FLUSH_MS);
  }

  /** Writes what is counted and counts no more. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    if (this.#redis.status === 'ready') await this.flush();
  }

  /** A call that an alias sent to the version has ended. */
  ended({ tenant, name, version }: FunctionRef, alias: AliasRef, outcome: Outcome): void {
    if (IGNORED.includes(outcome)) return;
    const bucket = Math.floor(Date.now() / 1000 / ALIAS_BUCKET_S);
    const key = keys.aliasCounts(tenant, name, alias, bucket);
    const id = `${key} ${version}`;
    let count = this.#counts.get(id);
    if (count === undefined) {
      count = { key, version, requests: 0, errors: 0 };
      this.#counts.set(id, count);
    }
    count.requests += 1;
    if (outcome !== 'succeeded') count.errors += 1;
  }

  /** What Redis does not take is not counted again: a roll-back then decides on less. */
  async flush(): Promise<void> {
    const counts = this.#counts;
    if (counts.size === 0) return;
    this.#counts = new Map();
    const pipeline = this.#redis.pipeline();
    for (const { key, version, requests, errors } of counts.values()) {
      pipeline.hincrby(key, `${version}:n`, requests);
      if (errors > 0) pipeline.hincrby(key, `${version}:e`, errors);
      pipeline.pexpire(key, KEPT_MS);
    }
    await pipeline.exec();
  }
}
