import { QUEUE_PREFIX } from '@mayfly/contracts';
import {
  type BackendFactory,
  type KeepJobs,
  type MinimalJob,
  type Processor,
  type QueueBaseOptions,
  QueueKeys,
  RedisConnection,
  RedisQueueBackend,
  Worker,
  type WorkerOptions,
} from 'bullmq';
import type { Redis } from 'ioredis';
import { corkForCompany, corkForTurn } from './reply/write-turn.js';

/**
 * DESIGN: BullMQ's worker waits for a marker (BZPOPMIN), then asks for the job that it announces: two round trips in
 * the way of every call that finds an idle worker. Redis runs what was sent behind a blocking command as soon as that
 * ends, so this backend sends the fetch along with the wait, and one answer brings marker and job.
 *
 * A fetched job leaves a marker for other workers. Where nothing else waits, that marker only wakes workers in vain,
 * so it is removed in the same breath, and the fetch that BullMQ makes next is answered here: there is no job.
 */
const CLEAR_MARKER = 'mayflyClearMarker';
const CLEAR_MARKER_LUA = `
local waiting = redis.call('LLEN', KEYS[1])
if waiting == 0 and redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('ZREM', KEYS[3], '0')
end
return waiting`;
const NO_JOB = [undefined, undefined, 0, 0];
/** How long a wait that is to end may take to end by itself; then its connection is cut. */
const WAKE_TIMEOUT_MS = 1_000;
const WAKE_AGAIN_MS = 20;

interface Ahead {
  readonly token: string;
  /** As `moveToActive` returns it. */
  readonly fetched: unknown[];
}

/** Redis as BullMQ's worker sees it, with the next job fetched ahead. For queues without delayed jobs. */
class FetchAheadBackend extends RedisQueueBackend {
  readonly #redis: Redis;
  readonly #blocking: Redis;
  readonly #workerId: string;
  /** The same queue over the connection that waits. */
  readonly #fetcher: RedisQueueBackend;
  #blockingId: number | undefined;
  #waits = 0;
  #waiting: Promise<unknown> | undefined;
  #ahead: Ahead | undefined;
  #isEmpty = false;

  constructor(name: string, options: QueueBaseOptions, redis: Redis, workerId: string) {
    const blocking = redis.duplicate({ connectionName: `${workerId} ${name}` });
    const waiter = new RedisConnection(blocking, { shared: false, blocking: true });
    const keys = new QueueKeys(QUEUE_PREFIX);
    const toKey = (type: string) => keys.toKey(name, type);
    super(new RedisConnection(redis, { shared: true }), name, keys.getKeys(name), toKey, options, waiter);
    this.#redis = redis;
    this.#blocking = blocking;
    this.#workerId = workerId;
    this.#fetcher = new RedisQueueBackend(waiter, name, this.keys, toKey, options, undefined, false);
    // Its connection's errors are this backend's, too.
    this.#fetcher.on('error', () => undefined);
    blocking.defineCommand(CLEAR_MARKER, { numberOfKeys: 3, lua: CLEAR_MARKER_LUA });
    blocking.on('ready', () => {
      blocking.client('ID').then(
        (id) => {
          this.#blockingId = id;
        },
        () => undefined,
      );
    });
  }

  /** Locks the job that was fetched ahead, if there is one. */
  get tokenAhead(): string | undefined {
    return this.#ahead?.token;
  }

  override async waitForJob(blockTimeoutS: number) {
    const waiting = this.#fetchAhead(blockTimeoutS);
    this.#waiting = waiting;
    try {
      this.#ahead = await waiting;
    } finally {
      this.#waiting = undefined;
    }
    // What waited for this leaves beside the next wait, when the job that came has been started.
    if (this.#redis.stream) corkForTurn(this.#redis.stream);
    // Whatever ended the wait, what is known of the queue is known now.
    return { member: '0', score: 0 };
  }

  async #fetchAhead(blockTimeoutS: number): Promise<Ahead> {
    this.#waits += 1;
    this.#isEmpty = false;
    const token = `${this.#workerId}:ahead:${this.#waits}`;
    if (this.#blocking.stream) corkForTurn(this.#blocking.stream);
    // Each takes the client from the same promise first, so they leave in this order.
    const woken = super.waitForJob(blockTimeoutS);
    const fetching = this.#fetcher.moveToActive(token, this.#workerId);
    const clearing = this.#clearMarker();
    // When the wait fails, so do they.
    fetching.catch(() => undefined);
    clearing.catch(() => undefined);
    await woken;
    const fetched = await fetching;
    const left = await clearing;
    this.#isEmpty = left === 0 && Boolean(fetched[0]);
    return { token, fetched };
  }

  async #clearMarker(): Promise<unknown> {
    const client = await this.blockingConnection?.client;
    const { wait, prioritized, marker } = this.keys;
    return client?.runCommand(CLEAR_MARKER, [wait, prioritized, marker]);
  }

  override async moveToActive(token: string, name?: string): ReturnType<RedisQueueBackend['moveToActive']> {
    const ahead = this.#ahead;
    const isEmpty = this.#isEmpty;
    this.#ahead = undefined;
    if (ahead) return ahead.fetched;
    this.#isEmpty = false;
    return isEmpty ? NO_JOB : super.moveToActive(token, name);
  }

  /**
   * While a fetch waits in Redis, a job that ends needs not ask for the next one, and nobody waits for its end: where
   * calls follow each other it is written when the next one has come, out of that one's way.
   */
  override moveToCompleted<T, R, N extends string>(
    job: MinimalJob<T, R, N>,
    value: R,
    remove: boolean | number | KeepJobs,
    token: string,
    fetchNext: boolean,
  ) {
    const isWaiting = this.#waiting !== undefined;
    const { stream } = this.#redis;
    if (stream) (isWaiting ? corkForCompany : corkForTurn)(stream);
    return super.moveToCompleted(job, value, remove, token, fetchNext && !isWaiting);
  }

  /** Ends a wait so that a job which it fetches in this moment arrives, and runs, instead of being lost. */
  override async disconnectBlocking(wait?: boolean): Promise<void> {
    if (this.#waiting !== undefined) await this.#endWait(this.#waiting);
    await super.disconnectBlocking(wait);
  }

  async #endWait(waiting: Promise<unknown>): Promise<void> {
    const unblock = () => {
      if (this.#blockingId !== undefined)
        this.#redis.client('UNBLOCK', this.#blockingId).catch(() => undefined);
    };
    unblock();
    // The wait may have been on its way to Redis still.
    const again = setInterval(unblock, WAKE_AGAIN_MS);
    await settled(waiting, WAKE_TIMEOUT_MS);
    clearInterval(again);
  }
}

export interface FetchAheadOptions extends Omit<WorkerOptions, 'connection' | 'prefix' | 'name'> {
  readonly redis: Redis;
  readonly workerId: string;
}

/** BullMQ's worker with a round trip and two scripts less per job. */
export class FetchAheadWorker extends Worker<unknown, void, string, FetchAheadBackend> {
  constructor(queue: string, processor: Processor<unknown, void>, options: FetchAheadOptions) {
    const { redis, workerId, ...rest } = options;
    const factory: BackendFactory<FetchAheadBackend> = (name, base) =>
      new FetchAheadBackend(name, base, redis, workerId);
    super(queue, processor, { ...rest, connection: redis, prefix: QUEUE_PREFIX, name: workerId }, factory);
  }

  protected override moveToActive(token: string, name?: string) {
    return super.moveToActive(this.backend.tokenAhead ?? token, name);
  }
}

/** Resolves when the work has ended, however, or the time is over. */
async function settled(work: Promise<unknown>, limitMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  const done = work.then(
    () => undefined,
    () => undefined,
  );
  await Promise.race([done, late]);
  clearTimeout(timer);
}
