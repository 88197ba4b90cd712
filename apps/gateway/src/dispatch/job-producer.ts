import {
  ASYNC_QUEUE,
  type FunctionRef,
  type InvocationItem,
  type InvocationJob,
  jobVersionOf,
  QUEUE_PREFIX,
  type ReplyAddress,
  SYNC_QUEUE,
} from '@mayfly/contracts';
import type { Instruments } from '@mayfly/telemetry';
import { type JobsOptions, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { orUnavailable } from '../redis.js';

const JOB_NAME = 'invoke';
/** Nobody reads the event streams: results travel on their own path. */
const EVENTS_KEPT = 10;

/** A sync call runs at most once: its caller decides about another try. */
const SYNC_OPTIONS: JobsOptions = {
  attempts: 1,
  removeOnComplete: true,
  removeOnFail: { count: 1_000 },
  stackTraceLimit: 1,
  keepLogs: 0,
};

/** Only host faults are thrown in a worker, so only they are tried again. */
const ASYNC_OPTIONS: JobsOptions = {
  attempts: 3,
  backoff: { type: 'exponential', delay: 500, jitter: 0.5 },
  removeOnComplete: true,
  removeOnFail: { count: 5_000 },
  stackTraceLimit: 1,
  keepLogs: 0,
};

export type QueueName = 'sync' | 'async';
/** Where a job is, as far as its caller cares. */
export type JobPlace = 'waiting' | 'running' | 'failed' | 'gone';

/** The only module that adds jobs. Every method fails fast when Redis is away. */
export class JobProducer {
  readonly #queues: Readonly<Record<QueueName, Queue>>;
  readonly #reply: ReplyAddress;
  readonly #metrics: Pick<Instruments<'gateway'>, 'sendDuration' | 'sentMessages'>;

  constructor(
    redis: Redis,
    reply: ReplyAddress,
    metrics: Pick<Instruments<'gateway'>, 'sendDuration' | 'sentMessages'>,
  ) {
    this.#metrics = metrics;
    const options = {
      connection: redis,
      prefix: QUEUE_PREFIX,
      skipWaitingForReady: true,
      streams: { events: { maxLen: EVENTS_KEPT } },
    };
    this.#queues = { sync: new Queue(SYNC_QUEUE, options), async: new Queue(ASYNC_QUEUE, options) };
    this.#reply = reply;
    // The connection's owner logs its errors; without a listener here each would end the process.
    for (const queue of Object.values(this.#queues)) queue.on('error', () => undefined);
  }

  async ready(): Promise<void> {
    await Promise.all(Object.values(this.#queues).map((queue) => queue.waitUntilReady()));
  }

  /** @returns the job's id, as the queue gave it. */
  async addSync(ref: FunctionRef, items: readonly InvocationItem[]): Promise<string> {
    const job: InvocationJob = { v: jobVersionOf(ref), function: ref, items, reply: this.#reply };
    const startedAt = performance.now();
    const added = await this.#queues.sync.add(JOB_NAME, job, SYNC_OPTIONS);
    this.#sent(SYNC_QUEUE, startedAt);
    return added.id ?? '';
  }

  /** The invocation's id becomes the job's, so that its state can be asked for. */
  async addAsync(ref: FunctionRef, item: InvocationItem): Promise<void> {
    const job: InvocationJob = { v: jobVersionOf(ref), function: ref, items: [item] };
    const startedAt = performance.now();
    await this.#queues.async.add(JOB_NAME, job, { ...ASYNC_OPTIONS, jobId: item.invocationId });
    this.#sent(ASYNC_QUEUE, startedAt);
  }

  async place(queue: QueueName, jobId: string): Promise<JobPlace> {
    switch (await orUnavailable(this.#queues[queue].getJobState(jobId))) {
      case 'waiting':
      case 'delayed':
      case 'prioritized':
      case 'waiting-children':
        return 'waiting';
      case 'active':
        return 'running';
      case 'failed':
        return 'failed';
      default:
        return 'gone';
    }
  }

  /** Jobs by state, as BullMQ names them. */
  counts(queue: QueueName): Promise<Readonly<Record<string, number>>> {
    return this.#queues[queue].getJobCounts('waiting', 'prioritized', 'delayed', 'active', 'failed');
  }

  /** Since when the oldest job waits, epoch milliseconds; undefined when none does. */
  async oldestWaitingSinceMs(queue: QueueName): Promise<number | undefined> {
    const [oldest] = await this.#queues[queue].getJobs(['waiting'], 0, 0, true);
    return oldest?.timestamp;
  }

  /** Jobs that no worker has taken yet. */
  depth(queue: QueueName): Promise<number> {
    return this.#queues[queue].getWaitingCount();
  }

  #sent(queue: string, startedAt: number): void {
    this.#metrics.sendDuration.record((performance.now() - startedAt) / 1000, queue, 'add');
    this.#metrics.sentMessages.add(1, queue, 'add');
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.#queues).map((queue) => queue.close()));
  }
}
