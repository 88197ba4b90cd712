import { type FunctionRef, type InvocationItem, LIMITS } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { defineScripts } from './commands.js';
import { DEAD_INDEX, deadKey, letterKey, PURGE_DEAD, REDRIVE } from './lua/dead-letters.js';

/** What is kept of an async call that was given up, so that it can be made again. */
export interface DeadCall {
  readonly v: 1;
  readonly function: FunctionRef;
  readonly item: InvocationItem;
}

export interface DeadLetter {
  readonly invocationId: string;
  /** When it was given up. */
  readonly deadAtMs: number;
  /** Absent: it has expired between two looks. */
  readonly call?: DeadCall;
}

/** Where a page of dead letters ended. */
export interface DeadCursor {
  readonly deadAtMs: number;
  readonly invocationId: string;
}

/** A dead letter that becomes a new invocation. */
export interface RedrivenLetter {
  readonly deadId: string;
  readonly invocationId: string;
  /** JSON of its `AcceptedRecord`. */
  readonly accepted: string;
  readonly acceptedAtMs: number;
  readonly delayMs: number;
  readonly leaseMs: number;
  readonly head: string;
  readonly tail: string;
  readonly item: string;
}

/** How many wait to be looked at, and since when the oldest does. */
export interface DeadSummary {
  readonly depth: number;
  readonly oldestAtMs?: number;
}

/** Most functions whose dead letters are counted for the metrics. */
const MOST_COUNTED = 1_000;

/** Async calls that were given up. The script that puts their end on record puts them here, too. */
export class DeadLetters {
  readonly #redis: DeadLettersRedis;
  readonly #scripts;

  constructor(redis: DeadLettersRedis) {
    this.#redis = redis;
    this.#scripts = defineScripts(redis, { purgeDead: PURGE_DEAD, redrive: REDRIVE });
  }

  /** Newest first. */
  async list(
    tenant: string,
    name: string,
    page: { readonly limit: number; readonly after?: DeadCursor | undefined },
  ): Promise<DeadLetter[]> {
    const { limit, after } = page;
    const found: [string, number][] = [];
    // Those of the same millisecond come again; they are dropped here.
    for (let offset = 0; found.length < limit; offset += limit) {
      const entries = await this.#redis.zrange(
        ...([deadKey(tenant, name), after?.deadAtMs ?? '+inf', '-inf'] as const),
        ...(['BYSCORE', 'REV', 'LIMIT', offset, limit, 'WITHSCORES'] as const),
      );
      for (let i = 0; i + 1 < entries.length && found.length < limit; i += 2) {
        const [id = '', score] = [entries[i], Number(entries[i + 1])];
        if (after === undefined || score < after.deadAtMs || id < after.invocationId) found.push([id, score]);
      }
      if (entries.length < 2 * limit) break;
    }
    const calls = await this.calls(
      tenant,
      found.map(([id]) => id),
    );
    return found.map(([invocationId, deadAtMs], index) => {
      const call = calls[index];
      return { invocationId, deadAtMs, ...(call && { call }) };
    });
  }

  /** Oldest first. */
  async oldest(tenant: string, name: string, limit: number): Promise<string[]> {
    return this.#redis.zrange(deadKey(tenant, name), '0', String(limit - 1));
  }

  async count(tenant: string, name: string): Promise<number> {
    return this.#redis.zcard(deadKey(tenant, name));
  }

  async find(tenant: string, name: string, invocationId: string): Promise<DeadLetter | undefined> {
    const [score, [call]] = await Promise.all([
      this.#redis.zscore(deadKey(tenant, name), invocationId),
      this.calls(tenant, [invocationId]),
    ]);
    return score === null ? undefined : { invocationId, deadAtMs: Number(score), ...(call && { call }) };
  }

  /** In the order of the ids. */
  async calls(tenant: string, invocationIds: readonly string[]): Promise<(DeadCall | undefined)[]> {
    if (invocationIds.length === 0) return [];
    const texts = await this.#redis.mget(invocationIds.map((id) => letterKey(tenant, id)));
    return texts.map((text) => (text === null ? undefined : (JSON.parse(text) as DeadCall)));
  }

  /** @returns how many there were. */
  async purge(tenant: string, name: string, invocationIds: readonly string[]): Promise<number> {
    return Number(await this.#scripts.purgeDead(tenant, name, ...invocationIds));
  }

  /** Takes the letters out and queues their new invocations, all in one step. @returns which were still there. */
  async redrive(tenant: string, name: string, letters: readonly RedrivenLetter[]): Promise<boolean[]> {
    const args = letters.flatMap((letter) => [
      ...[letter.deadId, letter.invocationId, letter.accepted, letter.acceptedAtMs, letter.delayMs],
      ...[letter.leaseMs, letter.head, letter.tail, letter.item],
    ]);
    const answers = await this.#scripts.redrive(tenant, name, LIMITS.recordRetentionMs, ...args);
    return (answers as number[]).map((answer) => answer === 1);
  }

  /** Of all tenants. */
  async summary(): Promise<DeadSummary> {
    const names = await this.#redis.srandmember(DEAD_INDEX, MOST_COUNTED);
    const counts = await Promise.all(
      names.map(async (name) => {
        const [tenant = '', fn = ''] = name.split(' ');
        const key = deadKey(tenant, fn);
        return Promise.all([this.#redis.zcard(key), this.#redis.zrange(key, '0', '0', 'WITHSCORES')]);
      }),
    );
    const oldest = counts.map(([, [, score]]) => Number(score)).filter(Number.isFinite);
    return {
      depth: counts.reduce((sum, [count]) => sum + count, 0),
      ...(oldest.length > 0 && { oldestAtMs: Math.min(...oldest) }),
    };
  }
}

type DeadLettersRedis = Pick<Redis, 'defineCommand' | 'zrange' | 'zcard' | 'zscore' | 'mget' | 'srandmember'>;
