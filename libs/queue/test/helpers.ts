import {
  ASYNC_QUEUE,
  DEFAULT_QUOTAS,
  type InvocationJob,
  type InvocationRecord,
  QUEUE_PREFIX,
  SYNC_QUEUE,
} from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import { startRedis } from '../../../test/helpers/redis.js';
import { type Admittance, type CallClass, Gate, Ledger } from '../src/index.js';

const WAIT = { sync: `${QUEUE_PREFIX}:${SYNC_QUEUE}:`, async: `${QUEUE_PREFIX}:${ASYNC_QUEUE}:` };
let calls = 0;

/** A gate and a ledger on a Redis of the test's own, and workers that take jobs from it when they are told to. */
export class GateOnRedis {
  readonly redis: Redis;
  readonly gate: Gate;
  readonly ledger: Ledger;

  private constructor(redis: Redis) {
    this.redis = redis;
    this.gate = new Gate(redis);
    this.ledger = new Ledger(redis);
  }

  static async start(): Promise<GateOnRedis> {
    const server = await startRedis();
    onTestFinished(() => server.stop());
    const redis = new Redis({ path: server.socketPath });
    onTestFinished(() => redis.disconnect());
    return new GateOnRedis(redis);
  }

  /** Calls named `{name}-{n}`; with a window of 4 and no limit that is met, unless told otherwise. */
  admit(name: string, count = 1, how: Partial<Admittance> = {}) {
    const kind = how.class ?? 'async';
    const ref = { tenant: how.tenant ?? 'acme', name: how.function ?? 'greet' };
    return this.gate.admit({
      class: kind,
      tenant: ref.tenant,
      function: ref.name,
      quotas: DEFAULT_QUOTAS,
      window: 4,
      maxQueueDepth: 100_000,
      startWithinMs: 0,
      leaseMs: 60_000,
      expiresAtMs: 0,
      head: `{"v":1,"function":${JSON.stringify(ref)},"items":[`,
      tail: ']}',
      calls: Array.from({ length: count }, (_, index) => {
        calls += 1;
        const invocationId = `${name}-${index + 1}`;
        return { invocationId, acceptedAtMs: calls, item: JSON.stringify({ invocationId }) };
      }),
      ...how,
    });
  }

  /** Invocations that BullMQ holds, first to run first. */
  async released(kind: CallClass = 'async'): Promise<string[]> {
    const jobIds = (await this.redis.lrange(`${WAIT[kind]}wait`, 0, -1)).reverse();
    const jobs = await Promise.all(jobIds.map((jobId) => this.#job(kind, jobId)));
    return jobs.flatMap((job) => job.items.map(({ invocationId }) => invocationId));
  }

  /** Runs the job that is next; returns its invocations. */
  async run(kind: CallClass = 'async'): Promise<string[]> {
    const jobId = await this.redis.rpop(`${WAIT[kind]}wait`);
    if (jobId === null) return [];
    const job = await this.#job(kind, jobId);
    await this.redis.del(WAIT[kind] + jobId);
    await this.ledger.settle(
      job.items.map(({ invocationId }) => ({ class: kind, record: endOf(job, invocationId) })),
    );
    return job.items.map(({ invocationId }) => invocationId);
  }

  /** Runs jobs until none is left; the invocations in the order in which they ran. */
  async runAll(kind: CallClass = 'async'): Promise<string[]> {
    const order: string[] = [];
    for (;;) {
      const ran = await this.run(kind);
      if (ran.length === 0) return order;
      order.push(...ran);
    }
  }

  async #job(kind: CallClass, jobId: string): Promise<InvocationJob> {
    return JSON.parse((await this.redis.hget(WAIT[kind] + jobId, 'data')) ?? '') as InvocationJob;
  }
}

export function endOf(job: Pick<InvocationJob, 'function'>, invocationId: string): InvocationRecord {
  return {
    ...{ v: 1, invocationId, tenant: job.function.tenant, function: job.function.name, version: 1 },
    ...{ entrypoint: 'Greet', returns: 'void', outcome: 'succeeded', logTail: '', attempt: 1 },
    ...{ workerId: 'w1', acceptedAtMs: 1_000, finishedAtMs: 2_000 },
    timings: { queueUs: 0, acquireUs: 0, restoreUs: 0, runUs: 0, resultUs: 0, totalUs: 0 },
    usage: { cpuUs: 7, exits: 1, hostCalls: 0, dirtyPages: 0, source: 'warm' },
  };
}
