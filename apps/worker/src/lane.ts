import { ASYNC_QUEUE, isMayflyError, QUEUE_PREFIX, SYNC_QUEUE } from '@mayfly/contracts';
import { type Job, UnrecoverableError, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import { FetchAheadWorker } from './fetch-ahead.js';
import type { JobView } from './job-view.js';
import type { Lane as LaneName } from './permits.js';
import type { Processor, StopReason } from './processor.js';

/** A killed host's jobs are found after lock and check, six to ten seconds, instead of BullMQ's minute. */
const LOCK_DURATION_MS = 6_000;
const STALLED_INTERVAL_MS = 2_000;
/** Starts of one async job, all reasons together: attempts, stalls and drains. */
const MAX_STARTS = 10;

const LANES = {
  // A sync caller is gone by the time a lost job is found: it is failed, and its invocations settled, but not run.
  sync: { queue: SYNC_QUEUE, maxStalledCount: 0 },
  // Two: one rollout of two workers must not fail a job.
  async: { queue: ASYNC_QUEUE, maxStalledCount: 2 },
} as const;

export interface LaneOptions {
  readonly name: LaneName;
  readonly redis: Redis;
  readonly processor: Processor;
  readonly workerId: string;
  readonly jobsAtOnce: number;
  readonly onError: (error: unknown, context: { readonly lane: LaneName; readonly jobId?: string }) => void;
}

/** One queue's consumer: turns BullMQ's jobs into the processor's, and how they ended into BullMQ's words. */
export class Lane {
  readonly #options: LaneOptions;
  readonly #worker: Worker | FetchAheadWorker;
  /** By job id. */
  readonly #running = new Map<string, AbortController>();
  #loop: Promise<void> | undefined;

  constructor(options: LaneOptions) {
    this.#options = options;
    const { queue, maxStalledCount } = LANES[options.name];
    const process = (job: Job) => this.#process(job);
    const { redis, workerId } = options;
    const settings = {
      autorun: false,
      concurrency: options.jobsAtOnce,
      lockDuration: LOCK_DURATION_MS,
      stalledInterval: STALLED_INTERVAL_MS,
      maxStalledCount,
      maxStartedAttempts: MAX_STARTS,
      drainDelay: 5,
      removeOnComplete: { count: 0 },
      removeOnFail: { count: 1000 },
    };
    // Fetching ahead is for queues without delayed jobs; an async job whose end could not be written becomes one.
    this.#worker =
      options.name === 'sync'
        ? new FetchAheadWorker(queue, process, { ...settings, redis, workerId })
        : new Worker(queue, process, {
            ...settings,
            connection: redis,
            prefix: QUEUE_PREFIX,
            name: workerId,
          });
    this.#worker.on('lockRenewalFailed', (jobIds) => this.#stop(jobIds, 'lost'));
    this.#worker.on('failed', (job, error) => this.#failed(job, error));
    this.#worker.on('error', (error) => options.onError(error, { lane: options.name }));
  }

  /** Jobs that this worker runs now. */
  get running(): number {
    return this.#running.size;
  }

  /** Resolves once jobs are taken. */
  async start(): Promise<void> {
    await this.#worker.waitUntilReady();
    this.#loop = this.#worker
      .run()
      .catch((error) => this.#options.onError(error, { lane: this.#options.name }));
  }

  /** Takes no more jobs; resolves when those that run have ended. */
  async close(): Promise<void> {
    await this.#worker.close();
    await this.#loop;
  }

  /** Ends every call that runs. */
  stopAll(reason: StopReason): void {
    this.#stop([...this.#running.keys()], reason);
  }

  async #process(job: Job): Promise<void> {
    const view = jobView(job, this.#options.name);
    const controller = new AbortController();
    this.#running.set(view.id, controller);
    try {
      await this.#options.processor.process(view, controller.signal);
    } catch (error) {
      if (isMayflyError(error) && (!error.definition.retryable || view.isLastAttempt))
        throw new UnrecoverableError(`${error.code}: ${error.message}`);
      throw error;
    } finally {
      this.#running.delete(view.id);
    }
  }

  #stop(jobIds: readonly string[], reason: StopReason): void {
    for (const jobId of jobIds) this.#running.get(jobId)?.abort(reason);
  }

  #failed(job: Job | undefined, error: Error): void {
    const { name, processor, onError } = this.#options;
    const context = { lane: name, ...(job?.id === undefined ? {} : { jobId: job.id }) };
    onError(error, context);
    // Without a deferred failure the processor ran this job itself and has settled what is to be settled.
    if (job?.deferredFailure === undefined && !isStartLimit(error)) return;
    if (job === undefined) return;
    processor
      .settleLost(jobView(job, name), 'The worker that ran the call was lost')
      .catch((cause) => onError(cause, context));
  }
}

function jobView(job: Job, lane: LaneName): JobView {
  return {
    id: job.id ?? '',
    lane,
    data: job.data,
    attempt: Math.max(1, job.attemptsStarted),
    isLastAttempt: job.attemptsMade + 1 >= (job.opts.attempts ?? 1),
  };
}

/** BullMQ fails a job that was started too often before the processor sees it, and tells so by text only. */
function isStartLimit(error: Error): boolean {
  return error.message === 'job started more than allowable limit';
}
