import { type Attempt, LIMITS } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { defineScripts } from './commands.js';
import { BEGIN, PUT_OFF, RUNNING, runKey, WANT_CANCEL } from './lua/attempts.js';

/** What a worker knows when it takes an attempt. */
export interface BegunAttempt {
  /** From 1: Redis counts, so that an attempt whose worker was lost counts, too. */
  readonly attempt: number;
  /** Ended ones before, oldest first. */
  readonly past: readonly Attempt[];
  /** Of them, those that the host failed. */
  readonly faults: number;
  /** Nobody wants it any more: it is to end as canceled. */
  readonly isCanceled: boolean;
}

/** An attempt that is to be followed by another one. */
export interface EndedAttempt {
  readonly tenant: string;
  readonly function: string;
  readonly invocationId: string;
  readonly ended: Attempt;
  /** Attempts that the host failed, this one included. */
  readonly faults: number;
  readonly delayMs: number;
  /** The next job's JSON but for its one item: what stands before and after it. */
  readonly head: string;
  readonly tail: string;
  readonly item: string;
  /** What its run may take in all, with a lost worker's. */
  readonly leaseMs: number;
}

/** An async invocation that has begun and not ended. */
export interface RunState {
  /** `queued`: between two attempts. */
  readonly state: 'queued' | 'starting' | 'running';
  /** Attempts begun. */
  readonly attempt: number;
  readonly workerId?: string;
  /** BullMQ's, of the last attempt that began. */
  readonly jobId: string;
  readonly startedAtMs?: number;
  readonly nextAttemptAtMs?: number;
  readonly past: readonly Attempt[];
}

/** Attempts at async invocations: which is under way, what became of the ones before, when the next one is due. */
export class Attempts {
  readonly #redis: Pick<Redis, 'defineCommand' | 'hgetall'>;
  readonly #scripts;

  constructor(redis: Pick<Redis, 'defineCommand' | 'hgetall'>) {
    this.#redis = redis;
    this.#scripts = defineScripts(redis, {
      beginAttempt: BEGIN,
      attemptRuns: RUNNING,
      putOff: PUT_OFF,
      wantCancel: WANT_CANCEL,
    });
  }

  /** @returns undefined for an invocation that has an end. */
  async begin(call: {
    readonly tenant: string;
    readonly invocationId: string;
    readonly workerId: string;
    readonly version: number;
    /** BullMQ's, of this attempt. @defaultValue the invocation's id */
    readonly jobId?: string;
  }): Promise<BegunAttempt | undefined> {
    const [attempt, faults, past, cancel] = (await this.#scripts.beginAttempt(
      ...[call.tenant, call.invocationId, call.workerId, call.version, LIMITS.recordRetentionMs],
      call.jobId ?? call.invocationId,
    )) as [string, number, string, string];
    if (attempt === '') return undefined;
    return { attempt: Number(attempt), faults, past: parsePast(past), isCanceled: cancel === '1' };
  }

  /** The guest of an attempt is under way. */
  async running(tenant: string, invocationId: string, attempt: number): Promise<void> {
    await this.#scripts.attemptRuns(tenant, invocationId, attempt);
  }

  /**
   * Gives back what the attempt held, and queues the next one when its time comes.
   * @returns false when the invocation has an end or is another worker's by now: nothing has changed.
   */
  async putOff(next: EndedAttempt): Promise<boolean> {
    const { tenant, invocationId, ended, delayMs, head, tail, leaseMs, item, faults } = next;
    const jobId = `${invocationId}-${ended.attempt + 1}`;
    const answer = await this.#scripts.putOff(
      ...[delayMs, tenant, next.function, jobId, head, tail, leaseMs, invocationId, item],
      ...[ended.attempt, JSON.stringify(ended), faults, LIMITS.recordRetentionMs],
    );
    return answer === 1;
  }

  /** No attempt begins any more. @returns who runs one; undefined where none is known to run. */
  async wantCancel(tenant: string, invocationId: string): Promise<string | undefined> {
    const [state, workerId] = (await this.#scripts.wantCancel(tenant, invocationId)) as [string, string];
    return state === 'starting' || state === 'running' ? workerId : undefined;
  }

  /** Undefined before the first attempt and after the end. */
  async find(tenant: string, invocationId: string): Promise<RunState | undefined> {
    const fields = await this.#redis.hgetall(runKey(tenant, invocationId));
    const { state, n, worker, at, next, past = '', job = invocationId } = fields;
    if (state !== 'queued' && state !== 'starting' && state !== 'running') return undefined;
    return {
      state,
      attempt: Number(n),
      jobId: job,
      ...(worker !== undefined && { workerId: worker }),
      ...(at !== undefined && { startedAtMs: Number(at) }),
      ...(next !== undefined && { nextAttemptAtMs: Number(next) }),
      past: parsePast(past),
    };
  }
}

function parsePast(joined: string): readonly Attempt[] {
  return JSON.parse(`[${joined}]`) as readonly Attempt[];
}
