import { type InvocationRecord, LIMITS } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { type CallClass, type CallId, letterOf } from './call-id.js';
import { defineScripts } from './commands.js';
import { TRY_LATER } from './lua/pump.js';
import { GIVE_BACK_CALLS, SETTLE } from './lua/settle.js';
import { dayOf } from './usage.js';

/** How long usage of a day is kept. */
const USAGE_LIFE_S = 400 * 24 * 3600;

/** The end of a call, to be put on record. */
export interface End {
  readonly class: CallClass;
  readonly record: InvocationRecord;
  /** The record as JSON, where it is there already. */
  readonly json?: string;
}

/** An attempt that is to be tried again. */
export interface LaterAttempt {
  readonly tenant: string;
  readonly function: string;
  readonly invocationId: string;
  /** Of the next attempt's job; no job of this id has been queued yet. */
  readonly jobId: string;
  /** The job's JSON but for its one item: what stands before and after it. */
  readonly head: string;
  readonly tail: string;
  readonly item: string;
  /** What its run may take in all, with a lost worker's. */
  readonly leaseMs: number;
  readonly delayMs: number;
}

/**
 * What became of calls. Every end is written once, under one key, by this script: whoever comes second (another worker,
 * a gateway that waited too long, a cancel) learns which end stands. In the same step usage is counted and the call's
 * places go to whose turn it is.
 */
export class Ledger {
  readonly #scripts;

  constructor(redis: Pick<Redis, 'defineCommand'>) {
    this.#scripts = defineScripts(redis, {
      settle: SETTLE,
      giveBack: GIVE_BACK_CALLS,
      tryLater: TRY_LATER,
    });
  }

  /** @returns for each end whether it is the one that stands. */
  async settle(ends: readonly End[]): Promise<boolean[]> {
    const answers = (await this.#settle(ends, false)) as unknown[];
    return answers.map((answer) => answer === 1);
  }

  /** @returns the end that stands: this one, or the one that was there; undefined where that has expired meanwhile. */
  async settleOrFind(end: End): Promise<InvocationRecord | undefined> {
    const [answer] = (await this.#settle([end], true)) as unknown[];
    if (answer === 1) return end.record;
    return typeof answer === 'string' ? (JSON.parse(answer) as InvocationRecord) : undefined;
  }

  /** Calls whose guests have ended and whose ends come later. Giving back twice changes nothing. */
  async giveBack(calls: readonly CallId[]): Promise<void> {
    const args = calls.flatMap((call) => [
      letterOf(call.class),
      call.tenant,
      call.function,
      call.invocationId,
    ]);
    await this.#scripts.giveBack(...args);
  }

  /** Gives back what an ended attempt held, and queues the next one when its time comes. */
  async tryLater(attempt: LaterAttempt): Promise<void> {
    const { delayMs, tenant, jobId, head, tail, leaseMs, invocationId, item } = attempt;
    await this.#scripts.tryLater(
      ...[delayMs, tenant, attempt.function, jobId, head, tail, leaseMs, invocationId, item],
    );
  }

  #settle(ends: readonly End[], wantsStanding: boolean): Promise<unknown> {
    const args: (string | number)[] = [LIMITS.recordRetentionMs, USAGE_LIFE_S, wantsStanding ? 1 : 0];
    for (const end of ends) {
      const { record } = end;
      const { usage } = record;
      args.push(
        letterOf(end.class),
        record.tenant,
        record.function,
        record.invocationId,
        end.json ?? JSON.stringify(record),
        record.acceptedAtMs,
        dayOf(record.finishedAtMs),
        natural(usage.cpuUs),
        natural(usage.memoryMibUs),
        natural(usage.inputBytes),
        natural(usage.outputBytes),
        record.outcome === 'succeeded' ? 0 : 1,
      );
    }
    return this.#scripts.settle(...args);
  }
}

/** Counts come from guests' runs; none may break a sum. */
function natural(count: number | undefined): number {
  return count !== undefined && Number.isSafeInteger(count) && count > 0 ? count : 0;
}
