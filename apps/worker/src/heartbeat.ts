import { hostname } from 'node:os';
import { type Isolation, type KvmKind, keys, WORKER_ALIVE_MS } from '@mayfly/contracts';
import type { Redis } from 'ioredis';

const INTERVAL_MS = 3_000;
/** Workers that stopped without a word are forgotten after this. */
const FORGET_AFTER_MS = 60_000;

export interface HeartbeatOptions {
  readonly redis: Redis;
  readonly workerId: string;
  readonly slots: number;
  readonly isolation: Isolation;
  readonly kvm: KvmKind;
  /** Calls that run or wait at the slots. */
  readonly callsInFlight: () => number;
  readonly onError: (error: unknown) => void;
}

/** Says in Redis that this worker lives, what it is, and whether it still takes calls. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #startedAtMs = Date.now();
  #timer: NodeJS.Timeout | undefined;
  #isDraining = false;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** Resolves when the first beat is in Redis. */
  async start(): Promise<void> {
    await this.#beat();
    this.#timer = setInterval(() => {
      // One beat too many while Redis is away would only wait in line with the others.
      if (this.#options.redis.status === 'ready') this.#beat().catch(this.#options.onError);
    }, INTERVAL_MS);
  }

  async drain(): Promise<void> {
    this.#isDraining = true;
    if (this.#options.redis.status === 'ready') await this.#beat();
  }

  /** Takes the worker out of the list. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const { redis, workerId } = this.#options;
    if (redis.status !== 'ready') return;
    await redis.multi().zrem(keys.workers, workerId).del(keys.worker(workerId)).exec();
  }

  async #beat(): Promise<void> {
    const { redis, workerId, slots, isolation, kvm, callsInFlight } = this.#options;
    const key = keys.worker(workerId);
    const nowMs = Date.now();
    const fields = {
      hostName: hostname(),
      startedAtMs: this.#startedAtMs,
      slots,
      callsInFlight: callsInFlight(),
      isolation,
      kvm,
      draining: this.#isDraining ? 1 : 0,
      reportsReadiness: 1,
    };
    const transaction = redis.multi().hset(key, fields).pexpire(key, WORKER_ALIVE_MS);
    // A draining worker still lives, but it is no reason to send it calls.
    if (this.#isDraining) transaction.zrem(keys.workers, workerId);
    else transaction.zadd(keys.workers, nowMs, workerId);
    await transaction.zremrangebyscore(keys.workers, '-inf', nowMs - FORGET_AFTER_MS).exec();
  }
}
