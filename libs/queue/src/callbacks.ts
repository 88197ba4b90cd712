import { LIMITS } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { defineScripts } from './commands.js';
import { CLAIM_CALLBACKS, EXPECT_CALLBACK, FINISH_CALLBACK } from './lua/callbacks.js';
import { NAMES } from './lua/names.js';

/** An attempt that is this process's to make, until the lease runs out. */
export interface CallbackAttempt {
  readonly tenant: string;
  readonly invocationId: string;
  /** Names the lease: its end. */
  readonly lease: string;
  /** From 1. */
  readonly attempt: number;
}

/** How an attempt ended. */
export interface CallbackEnd {
  readonly state: 'delivered' | 'failed' | 'pending';
  /** Of the answer, if there was one. */
  readonly status?: number | undefined;
  /** A word for why it was not taken. */
  readonly error?: string | undefined;
  /** Of one that is pending. */
  readonly nextInMs?: number;
}

export interface CallbackState {
  readonly state: 'pending' | 'delivered' | 'failed';
  /** Made or under way. */
  readonly attempts: number;
  readonly lastAtMs?: number;
  readonly lastStatus?: number;
  readonly lastError?: string;
  readonly nextAtMs?: number;
}

export interface CallbackQueueOptions {
  /** Longer than an attempt takes. @defaultValue 20_000 */
  readonly leaseMs?: number;
  /** When somebody looks whether a call has ended whose end said nothing, as an older worker's. @defaultValue 60_000 */
  readonly lookAgainMs?: number;
}

/**
 * Completion callbacks that are owed: written when a call is accepted, due when it ends (`Ledger.settle` says so in the
 * script that puts the end on record), claimed by one gateway at a time for one attempt. A claim that was not finished,
 * since its gateway died, is due again after its lease.
 */
export class CallbackQueue {
  readonly #redis: Pick<Redis, 'hgetall'>;
  readonly #scripts;
  readonly #leaseMs: number;
  readonly #lookAgainMs: number;

  constructor(redis: Pick<Redis, 'defineCommand' | 'hgetall'>, options: CallbackQueueOptions = {}) {
    this.#redis = redis;
    this.#leaseMs = options.leaseMs ?? 20_000;
    this.#lookAgainMs = options.lookAgainMs ?? 60_000;
    this.#scripts = defineScripts(redis, {
      expectCallback: EXPECT_CALLBACK(NAMES),
      claimCallbacks: CLAIM_CALLBACKS(NAMES),
      finishCallback: FINISH_CALLBACK(NAMES),
    });
  }

  /** Before a worker can know of the call. */
  async expect(tenant: string, invocationId: string): Promise<void> {
    await this.#scripts.expectCallback(tenant, invocationId, this.#lookAgainMs);
  }

  /** Attempts that are due: at most so many in all and of a tenant, tenants in the order in which they were due. */
  async claim(limits: {
    readonly most: number;
    readonly perTenant: number;
    readonly without: Iterable<string>;
  }): Promise<CallbackAttempt[]> {
    const { most, perTenant, without } = limits;
    const fields = (await this.#scripts.claimCallbacks(
      ...[this.#leaseMs, this.#lookAgainMs, most, perTenant, LIMITS.recordRetentionMs, ...without],
    )) as (string | number)[];
    const attempts: CallbackAttempt[] = [];
    for (let i = 0; i + 3 < fields.length; i += 4) {
      const [tenant, invocationId, lease, attempt] = fields.slice(i, i + 4);
      attempts.push({
        ...{ tenant: String(tenant), invocationId: String(invocationId), lease: String(lease) },
        attempt: Number(attempt),
      });
    }
    return attempts;
  }

  /** @returns false when the lease has run out: the attempt was another's to finish. */
  async finish({ tenant, invocationId, lease }: CallbackAttempt, end: CallbackEnd): Promise<boolean> {
    const { state, nextInMs = '', status = '', error = '' } = end;
    const args = [tenant, invocationId, lease, state, nextInMs, status, error];
    return (await this.#scripts.finishCallback(...args)) === 1;
  }

  /** Of a call that somebody expects to be called back of. */
  async stateOf(tenant: string, invocationId: string): Promise<CallbackState> {
    const { state, attempts, lastAtMs, lastStatus, lastError, nextAtMs } = (await this.#redis.hgetall(
      `mf:s:cb:of:${tenant}:${invocationId}`,
    )) as Partial<Record<keyof CallbackState, string>>;
    return {
      state: state === 'delivered' || state === 'failed' ? state : 'pending',
      attempts: Number(attempts ?? 0),
      ...(lastAtMs !== undefined && { lastAtMs: Number(lastAtMs) }),
      ...(lastStatus !== undefined && { lastStatus: Number(lastStatus) }),
      ...(lastError !== undefined && { lastError }),
      ...(nextAtMs !== undefined && { nextAtMs: Number(nextAtMs) }),
    };
  }
}
