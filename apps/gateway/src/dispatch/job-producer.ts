import {
  ASYNC_QUEUE,
  type FunctionRef,
  type InvocationItem,
  jobVersionOf,
  QUEUE_PREFIX,
  type ReplyAddress,
  SYNC_QUEUE,
} from '@mayfly/contracts';
import type { Admission, CallClass, CallId, Gate } from '@mayfly/queue';
import type { Instruments } from '@mayfly/telemetry';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { orUnavailable } from '../redis.js';
import type { TenantPolicies } from '../tenants/tenant-policies.js';

/** Nobody reads the event streams: results travel on their own path. */
const EVENTS_KEPT = 10;
/** Beyond its caller's wait, a sync call may hold its places until its worker has said that it ended. */
const SYNC_MARGIN_MS = 10_000;
/** An async call may be run twice, by a worker that is lost and by the next one, after the queue has noticed. */
const ASYNC_RUNS = 2;
const ASYNC_MARGIN_MS = 60_000;

export type QueueName = CallClass;
/** Where a job is, as far as its caller cares. */
export type JobPlace = 'waiting' | 'running' | 'failed' | 'gone';

export interface ProducerOptions {
  readonly redis: Redis;
  readonly gate: Gate;
  readonly policies: TenantPolicies;
  /** Jobs of a class that may be with the workers at once, now. */
  readonly window: () => number;
  /** Calls that may wait in a class, of all tenants. */
  readonly maxQueueDepth: number;
  readonly reply: ReplyAddress;
  readonly metrics: Pick<Instruments<'gateway'>, 'sendDuration' | 'sentMessages'>;
  /** Calls wait in a backlog. */
  readonly onWaiting: () => void;
}

/** The only module through which calls come in. Every method fails fast when Redis is away. */
export class JobProducer {
  readonly #options: ProducerOptions;
  readonly #queues: Readonly<Record<QueueName, Queue>>;
  readonly #syncTail: string;
  /** What stands before a job's items, by version: lanes keep their references. */
  readonly #heads = new WeakMap<FunctionRef, string>();

  constructor(options: ProducerOptions) {
    this.#options = options;
    const queueOptions = {
      connection: options.redis,
      prefix: QUEUE_PREFIX,
      skipWaitingForReady: true,
      streams: { events: { maxLen: EVENTS_KEPT } },
    };
    this.#queues = { sync: new Queue(SYNC_QUEUE, queueOptions), async: new Queue(ASYNC_QUEUE, queueOptions) };
    this.#syncTail = `],"reply":${JSON.stringify(options.reply)}}`;
    // The connection's owner logs its errors; without a listener here each would end the process.
    for (const queue of Object.values(this.#queues)) queue.on('error', () => undefined);
  }

  async ready(): Promise<void> {
    await Promise.all(Object.values(this.#queues).map((queue) => queue.waitUntilReady()));
  }

  /** Lets the first of these calls in, as many as may come, in one job. */
  async addSync(ref: FunctionRef, items: readonly InvocationItem[]): Promise<Admission> {
    let waitMs = 0;
    let expiresAtMs = 0;
    let startWithinMs = Number.POSITIVE_INFINITY;
    for (const { acceptedAtMs, timeoutMs, expiresAtMs: until = acceptedAtMs } of items) {
      waitMs = Math.max(waitMs, until - acceptedAtMs);
      expiresAtMs = Math.max(expiresAtMs, until);
      startWithinMs = Math.min(startWithinMs, until - acceptedAtMs - timeoutMs);
    }
    return this.#admit('sync', ref, items, {
      leaseMs: Math.ceil(waitMs) + SYNC_MARGIN_MS,
      startWithinMs: Math.max(1, Math.round(startWithinMs)),
      expiresAtMs: Math.ceil(expiresAtMs),
    });
  }

  /** Lets the first of these calls in, as many as may come, each in a job that has its invocation's id. */
  async addAsync(ref: FunctionRef, items: readonly InvocationItem[]): Promise<Admission> {
    const timeoutMs = items.reduce((most, item) => Math.max(most, item.timeoutMs), 0);
    const leaseMs = ASYNC_RUNS * timeoutMs + ASYNC_MARGIN_MS;
    return this.#admit('async', ref, items, { leaseMs, startWithinMs: 0, expiresAtMs: 0 });
  }

  async #admit(
    kind: QueueName,
    ref: FunctionRef,
    items: readonly InvocationItem[],
    times: { readonly leaseMs: number; readonly startWithinMs: number; readonly expiresAtMs: number },
  ): Promise<Admission> {
    const { gate, policies, window, maxQueueDepth, metrics, onWaiting } = this.#options;
    const startedAt = performance.now();
    const admission = await gate.admit({
      class: kind,
      tenant: ref.tenant,
      function: ref.name,
      quotas: policies.of(ref.tenant).quotas,
      window: window(),
      maxQueueDepth,
      leaseMs: times.leaseMs,
      startWithinMs: times.startWithinMs,
      expiresAtMs: times.expiresAtMs,
      head: this.#head(ref),
      tail: kind === 'sync' ? this.#syncTail : ']}',
      calls: items.map((item) => ({
        invocationId: item.invocationId,
        acceptedAtMs: item.acceptedAtMs,
        item: JSON.stringify(item),
      })),
    });
    const queue = kind === 'sync' ? SYNC_QUEUE : ASYNC_QUEUE;
    metrics.sendDuration.record((performance.now() - startedAt) / 1000, queue, 'add');
    if (admission.admitted > 0) metrics.sentMessages.add(1, queue, 'add');
    if (admission.waiting > 0) onWaiting();
    return admission;
  }

  #head(ref: FunctionRef): string {
    let head = this.#heads.get(ref);
    if (head === undefined) {
      head = `{"v":${jobVersionOf(ref)},"function":${JSON.stringify(ref)},"items":[`;
      this.#heads.set(ref, head);
    }
    return head;
  }

  /** Where an async call is. */
  async placeOf(tenant: string, invocationId: string): Promise<JobPlace> {
    const place = await this.#place('async', invocationId);
    if (place !== 'gone') return place;
    if (await orUnavailable(this.#options.gate.holds(tenant, invocationId))) return 'waiting';
    // It may have been let go between the two looks.
    return this.#place('async', invocationId);
  }

  /** Where a sync call is. @param jobId as far as it is known */
  async placeOfSync(call: Omit<CallId, 'class'>, jobId: string | undefined): Promise<JobPlace> {
    if (jobId) return this.#place('sync', jobId);
    const released = await orUnavailable(this.#options.gate.isReleased({ ...call, class: 'sync' }));
    return released ? 'running' : 'waiting';
  }

  async #place(queue: QueueName, jobId: string): Promise<JobPlace> {
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

  /** Jobs by state, as BullMQ names them; `waiting` has the calls that wait in backlogs, too. */
  async counts(queue: QueueName): Promise<Readonly<Record<string, number>>> {
    const [counts, backlogs] = await Promise.all([
      this.#queues[queue].getJobCounts('waiting', 'prioritized', 'delayed', 'active', 'failed'),
      this.#options.gate.waiting(),
    ]);
    return { ...counts, waiting: (counts['waiting'] ?? 0) + backlogs[queue] };
  }

  /** Since when the oldest job that was let go waits, epoch milliseconds; undefined when none does. */
  async oldestWaitingSinceMs(queue: QueueName): Promise<number | undefined> {
    const [oldest] = await this.#queues[queue].getJobs(['waiting'], 0, 0, true);
    return oldest?.timestamp;
  }

  async close(): Promise<void> {
    await Promise.all(Object.values(this.#queues).map((queue) => queue.close()));
  }
}
