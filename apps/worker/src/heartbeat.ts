import { hostname } from 'node:os';
import {
  type HostOrder,
  type HostState,
  type Isolation,
  isHostOrder,
  type KvmKind,
  keys,
  WORKER_LISTED_MS,
} from '@mayfly/contracts';
import type { Redis } from 'ioredis';

const INTERVAL_MS = 1_000;
/** By the clock of Redis: those of hosts may differ, or be set. One that takes no calls is no reason to send it any. */
const BEAT_LUA = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], now, ARGV[1])
if ARGV[2] == '1' then redis.call('ZADD', KEYS[3], now, ARGV[1]) else redis.call('ZREM', KEYS[3], ARGV[1]) end
for index = 2, 3 do redis.call('ZREMRANGEBYSCORE', KEYS[index], '-inf', now - ARGV[3]) end`;

export interface HeartbeatOptions {
  readonly redis: Redis;
  readonly workerId: string;
  readonly slots: number;
  readonly isolation: Isolation;
  readonly kvm: KvmKind;
  /** Calls that run or wait at the slots. */
  readonly callsInFlight: () => number;
  readonly state: () => HostState;
  /** What its operators want of it, with each beat; absent: that it takes calls. */
  readonly onOrder: (order: HostOrder | undefined) => void;
  readonly onError: (error: unknown) => void;
}

/** Says in Redis that this worker lives, what it is, and whether it takes calls; hears there whether it should. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #startedAtMs = Date.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** Resolves when the first beat is in Redis. */
  async start(): Promise<void> {
    await this.#beat();
    this.#timer = setInterval(() => this.beatNow(), INTERVAL_MS);
  }

  /** Says at once what has changed. */
  beatNow(): void {
    // One beat too many while Redis is away would only wait in line with the others.
    if (this.#options.redis.status === 'ready') this.#beat().catch(this.#options.onError);
  }

  /** Takes the worker out of the list. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const { redis, workerId } = this.#options;
    if (redis.status !== 'ready') return;
    const transaction = redis.multi().zrem(keys.workers, workerId).zrem(keys.seenWorkers, workerId);
    await transaction.del(keys.worker(workerId)).exec();
  }

  async #beat(): Promise<void> {
    const { redis, workerId, slots, isolation, kvm, callsInFlight, state, onOrder } = this.#options;
    const fields = {
      hostName: hostname(),
      startedAtMs: this.#startedAtMs,
      slots,
      callsInFlight: callsInFlight(),
      isolation,
      kvm,
      state: state(),
      reportsReadiness: 1,
    };
    const transaction = redis.multi().hget(keys.hostOrders, workerId);
    transaction.eval(
      BEAT_LUA,
      ...[3, keys.worker(workerId), keys.seenWorkers, keys.workers],
      ...[workerId, state() === 'active' ? 1 : 0, WORKER_LISTED_MS],
      ...Object.entries(fields).flat(),
    );
    const [ordered, beaten] = (await transaction.exec()) ?? [];
    const error = ordered?.[0] ?? beaten?.[0];
    if (error) throw error;
    const order = ordered?.[1];
    // An order that this release does not know is a newer one's: it goes on as it is.
    if (order === null) onOrder(undefined);
    else if (isHostOrder(order)) onOrder(order);
  }
}
