import {
  type AcceptedRecord,
  type InvocationRecord,
  keys,
  LIMITS,
  OUTCOMES,
  type Outcome,
  type Timings,
  type TraceRef,
} from '@mayfly/contracts';
import { CallbackQueue, type CallClass, Ledger } from '@mayfly/queue';
import type { Redis } from 'ioredis';
import { orUnavailable } from '../redis.js';

/** Why this gateway ended a call itself; the code of the error that its caller got. */
export type TerminalCode =
  | 'MAYFLY_ERR_GATEWAY_QUEUE_TIMEOUT'
  | 'MAYFLY_ERR_GATEWAY_CALL_LOST'
  | 'MAYFLY_ERR_GATEWAY_DRAINING'
  | 'MAYFLY_ERR_GATEWAY_UNAVAILABLE';

/** The end of a call that no worker's answer ended in time. */
export interface TerminalRecord extends InvocationRecord {
  readonly code: TerminalCode;
}

/** Beside the worker's record of a call that was waited for: how its answer looks. */
export interface AnsweredRecord extends AcceptedRecord {
  readonly answered: true;
}

/** All that is known of one invocation. */
export interface KnownInvocation {
  readonly accepted?: AcceptedRecord | AnsweredRecord;
  readonly ended?: InvocationRecord | TerminalRecord;
}

const NO_TIME: Timings = { queueUs: 0, acquireUs: 0, restoreUs: 0, runUs: 0, resultUs: 0, totalUs: 0 };

/** Records in Redis: what was accepted is written here, how it ended by whoever ended it first. */
export class InvocationStore {
  readonly #redis: Redis;
  readonly #ledger: Ledger;
  readonly #callbacks: CallbackQueue;

  constructor(redis: Redis) {
    this.#redis = redis;
    this.#ledger = new Ledger(redis);
    this.#callbacks = new CallbackQueue(redis);
  }

  async find(tenant: string, invocationId: string): Promise<KnownInvocation | undefined> {
    const [ours, end, first] = await orUnavailable(this.#redis.mget(keysOf(tenant, invocationId)));
    return knownOf(ours, end ?? first);
  }

  /** How a call ended, if it has. */
  async findRecord(tenant: string, invocationId: string): Promise<InvocationRecord | undefined> {
    const [, end, first] = await orUnavailable(this.#redis.mget(keysOf(tenant, invocationId)));
    const record = parse(end ?? first);
    return isInvocationRecord(record) ? record : undefined;
  }

  /** Several at once, in their order; undefined for what is not known. */
  async findAll(tenant: string, invocationIds: readonly string[]): Promise<(KnownInvocation | undefined)[]> {
    if (invocationIds.length === 0) return [];
    const texts = await orUnavailable(this.#redis.mget(invocationIds.flatMap((id) => keysOf(tenant, id))));
    return invocationIds.map((_, index) =>
      knownOf(texts[3 * index], texts[3 * index + 1] ?? texts[3 * index + 2]),
    );
  }

  /** Forgets an invocation. @returns whether there was one. */
  async purge(tenant: string, invocationId: string): Promise<boolean> {
    const [deleted] = await orUnavailable(
      Promise.all([
        this.#redis.del(keys.accepted(tenant, invocationId), keys.record(tenant, invocationId)),
        this.#redis.zrem(keys.index(tenant), invocationId),
      ]),
    );
    return deleted > 0;
  }

  /** Of a call that outlives its connection. Its admission lists it. */
  async writeAccepted(tenant: string, record: AcceptedRecord): Promise<void> {
    const owed = record.callback && orUnavailable(this.#callbacks.expect(tenant, record.invocationId));
    await Promise.all([this.#write(tenant, record), owed]);
  }

  /** How the answer of a call that was waited for looks. */
  async writeAnswered(tenant: string, record: AnsweredRecord): Promise<void> {
    await this.#write(tenant, record);
  }

  async removeAccepted(tenant: string, invocationId: string): Promise<void> {
    await this.purge(tenant, invocationId);
  }

  /**
   * Puts an end on record that is not a worker's, unless there is one.
   * @returns the end that stands; undefined where that is none that can be answered with
   */
  async writeTerminal(accepted: AcceptedRecord, end: TerminalEnd): Promise<InvocationRecord | undefined> {
    const record: TerminalRecord = {
      ...unrunRecord(accepted, 'host-fault', end.message),
      code: end.code,
      ...(end.trace && { trace: end.trace }),
    };
    const standing = await orUnavailable(this.#ledger.settleOrFind({ class: end.class ?? 'sync', record }));
    return isInvocationRecord(standing) ? standing : undefined;
  }

  /** Puts a worker's word on record, unless there is an end. @returns as `writeTerminal` */
  async writeEnd(record: InvocationRecord): Promise<InvocationRecord | undefined> {
    const standing = await orUnavailable(this.#ledger.settleOrFind({ class: 'sync', record }));
    return isInvocationRecord(standing) ? standing : undefined;
  }

  /** Ends a call that nobody holds. @returns the end that stands: another one may have come first. */
  async writeCanceled(accepted: AcceptedRecord, kind: CallClass): Promise<InvocationRecord> {
    const record = unrunRecord(accepted, 'canceled', 'The call was canceled before it began');
    const stands = await orUnavailable(this.#ledger.settleOrFind({ class: kind, record }));
    return isInvocationRecord(stands) ? stands : record;
  }

  async #write(tenant: string, record: AcceptedRecord): Promise<void> {
    const key = keys.accepted(tenant, record.invocationId);
    await orUnavailable(this.#redis.set(key, JSON.stringify(record), 'PX', LIMITS.recordRetentionMs));
  }
}

/** What was accepted, how it ended, and how a worker of the first releases says that it did. */
function keysOf(tenant: string, invocationId: string): string[] {
  const { accepted, record, firstRecord } = keys;
  return [accepted, record, firstRecord].map((key) => key(tenant, invocationId));
}

/** The record of a call that no guest ran. */
function unrunRecord(accepted: AcceptedRecord, outcome: Outcome, message: string): InvocationRecord {
  const finishedAtMs = Date.now();
  const totalUs = Math.max(0, finishedAtMs - accepted.acceptedAtMs) * 1000;
  const { v, invocationId, tenant, version, alias, entrypoint, returns, acceptedAtMs } = accepted;
  return {
    ...{ v, invocationId, tenant, function: accepted.function, version, entrypoint, returns },
    ...(alias !== undefined && { alias }),
    outcome,
    detail: { message },
    timings: { ...NO_TIME, queueUs: totalUs, totalUs },
    usage: { cpuUs: 0, exits: 0, hostCalls: 0, dirtyPages: 0, source: 'warm' },
    logTail: '',
    attempt: 0,
    workerId: '',
    acceptedAtMs,
    finishedAtMs,
  };
}

export interface TerminalEnd {
  /** How the call came in. @defaultValue 'sync' */
  readonly class?: CallClass;
  readonly code: TerminalCode;
  readonly message: string;
  readonly trace?: TraceRef;
}

export function isTerminal(record: unknown): record is TerminalRecord {
  return isInvocationRecord(record) && typeof (record as Partial<TerminalRecord>).code === 'string';
}

/** Whether a worker's answer has the fields that an answer to the caller is made of. */
export function isInvocationRecord(value: unknown): value is InvocationRecord {
  if (typeof value !== 'object' || value === null) return false;
  const record: Partial<Record<keyof InvocationRecord, unknown>> = value;
  return (
    typeof record.invocationId === 'string' &&
    typeof record.outcome === 'string' &&
    Object.hasOwn(OUTCOMES, record.outcome) &&
    typeof record.logTail === 'string' &&
    typeof record.timings === 'object' &&
    record.timings !== null &&
    (record.outcome !== 'succeeded' ||
      record.returns === 'void' ||
      record.resultDropped === true ||
      isResult(record.result))
  );
}

function isResult(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const result: { kind?: unknown; value?: unknown; sha256?: unknown } = value;
  if (result.kind === 'inline') return typeof result.value === 'object' && result.value !== null;
  return result.kind === 'blob' && typeof result.sha256 === 'string';
}

function knownOf(
  ours: string | null | undefined,
  end: string | null | undefined,
): KnownInvocation | undefined {
  const accepted = parse(ours) as AcceptedRecord | AnsweredRecord | undefined;
  const ended = parse(end);
  if (accepted === undefined && ended === undefined) return undefined;
  return {
    ...(accepted !== undefined && { accepted }),
    ...(isInvocationRecord(ended) && { ended }),
  };
}

function parse(text: string | null | undefined): unknown {
  return text === null || text === undefined ? undefined : JSON.parse(text);
}
