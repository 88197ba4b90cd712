import {
  type AcceptedRecord,
  type InvocationRecord,
  keys,
  LIMITS,
  OUTCOMES,
  type Timings,
  type TraceRef,
} from '@mayfly/contracts';
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

/** All that is known of one invocation. What the caller was told goes before what a worker wrote later. */
export interface KnownInvocation {
  readonly accepted?: AcceptedRecord | AnsweredRecord;
  readonly ended?: InvocationRecord | TerminalRecord;
}

const NO_TIME: Timings = { queueUs: 0, acquireUs: 0, restoreUs: 0, runUs: 0, resultUs: 0, totalUs: 0 };

/** Records in Redis: the gateway's family is written here, the worker's is only read. */
export class InvocationStore {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  async find(tenant: string, invocationId: string): Promise<KnownInvocation | undefined> {
    const [ours, workers] = await orUnavailable(
      this.#redis.mget(keys.accepted(tenant, invocationId), keys.record(tenant, invocationId)),
    );
    return knownOf(ours, workers);
  }

  /** The worker's record of a call, if it has written one. */
  async findRecord(tenant: string, invocationId: string): Promise<InvocationRecord | undefined> {
    const record = parse(await orUnavailable(this.#redis.get(keys.record(tenant, invocationId))));
    return isInvocationRecord(record) ? record : undefined;
  }

  /** Several at once, in their order; undefined for what is not known. */
  async findAll(tenant: string, invocationIds: readonly string[]): Promise<(KnownInvocation | undefined)[]> {
    if (invocationIds.length === 0) return [];
    const texts = await orUnavailable(
      this.#redis.mget(invocationIds.flatMap((id) => [keys.accepted(tenant, id), keys.record(tenant, id)])),
    );
    return invocationIds.map((_, index) => knownOf(texts[2 * index], texts[2 * index + 1]));
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

  /** Of a call that outlives its connection: it is listed from now on. */
  async writeAccepted(tenant: string, record: AcceptedRecord): Promise<void> {
    const { invocationId, acceptedAtMs } = record;
    const listed = this.#redis.zadd(keys.index(tenant), acceptedAtMs, invocationId);
    await Promise.all([this.#write(tenant, record), orUnavailable(listed)]);
  }

  /** How the answer of a call that was waited for looks. */
  async writeAnswered(tenant: string, record: AnsweredRecord): Promise<void> {
    await this.#write(tenant, record);
  }

  async removeAccepted(tenant: string, invocationId: string): Promise<void> {
    await this.purge(tenant, invocationId);
  }

  /** Puts an end on record that is not a worker's. */
  async writeTerminal(accepted: AcceptedRecord, tenant: string, end: TerminalEnd): Promise<TerminalRecord> {
    const finishedAtMs = Date.now();
    const totalUs = Math.max(0, finishedAtMs - accepted.acceptedAtMs) * 1000;
    const { v, invocationId, version, alias, entrypoint, returns, acceptedAtMs } = accepted;
    const record: TerminalRecord = {
      ...{ v, invocationId, tenant, function: accepted.function, version, entrypoint, returns },
      ...(alias !== undefined && { alias }),
      outcome: 'host-fault',
      detail: { message: end.message },
      timings: { ...NO_TIME, queueUs: totalUs, totalUs },
      usage: { cpuUs: 0, exits: 0, hostCalls: 0, dirtyPages: 0, source: 'warm' },
      logTail: '',
      attempt: 0,
      workerId: '',
      acceptedAtMs,
      finishedAtMs,
      code: end.code,
      ...(end.trace && { trace: end.trace }),
    };
    await this.#write(tenant, record);
    return record;
  }

  async #write(tenant: string, record: AcceptedRecord | TerminalRecord): Promise<void> {
    const key = keys.accepted(tenant, record.invocationId);
    await orUnavailable(this.#redis.set(key, JSON.stringify(record), 'PX', LIMITS.recordRetentionMs));
  }
}

export interface TerminalEnd {
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
    (record.outcome !== 'succeeded' || record.returns === 'void' || isResult(record.result))
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
  workers: string | null | undefined,
): KnownInvocation | undefined {
  const first = parse(ours);
  const record = parse(workers);
  if (isTerminal(first)) return { ended: first };
  const accepted = first as AcceptedRecord | undefined;
  if (accepted === undefined && record === undefined) return undefined;
  return {
    ...(accepted !== undefined && { accepted }),
    ...(isInvocationRecord(record) && { ended: record }),
  };
}

function parse(text: string | null | undefined): unknown {
  return text === null || text === undefined ? undefined : JSON.parse(text);
}
