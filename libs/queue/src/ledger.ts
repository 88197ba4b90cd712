import { type InvocationRecord, LIMITS } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { type CallClass, type CallId, letterOf } from './call-id.js';
import { defineScripts } from './commands.js';
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
  /** The call as JSON of `DeadCall`, of one that is given up; put beside the dead letters if this end stands. */
  readonly letter?: string | undefined;
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
        end.letter ?? '',
        Math.floor(record.finishedAtMs),
      );
    }
    return this.#scripts.settle(...args);
  }
}

/** Counts come from guests' runs; none may break a sum. */
function natural(count: number | undefined): number {
  return count !== undefined && Number.isSafeInteger(count) && count > 0 ? count : 0;
}
