import {
  type Attempt,
  type FunctionRef,
  type InvocationItem,
  type InvocationRecord,
  jobVersionOf,
} from '@mayfly/contracts';
import type { Attempts, BegunAttempt, DeadCall } from '@mayfly/queue';
import type { Settlement } from './reply/delivery.js';
import { nextOf } from './retry.js';

/** A call may be run twice, by a worker that is lost and by the next one, after the queue has noticed. */
const RUNS = 2;
const LEASE_MARGIN_MS = 60_000;

/** An async call that this worker has begun. */
export interface BegunCall {
  readonly ref: FunctionRef;
  readonly item: InvocationItem;
  readonly begun: BegunAttempt & { readonly startedAtMs: number };
}

export interface AsyncAttemptsDeps {
  readonly attempts: Pick<Attempts, 'begin' | 'running' | 'putOff'>;
  readonly workerId: string;
}

/** What follows attempts at async calls: another one, or the end with all that is kept of them. */
export class AsyncAttempts {
  readonly #deps: AsyncAttemptsDeps;

  constructor(deps: AsyncAttemptsDeps) {
    this.#deps = deps;
  }

  /** @returns undefined when the call has an end. */
  async begin(
    { tenant, version }: FunctionRef,
    { invocationId }: InvocationItem,
    jobId: string,
  ): Promise<BegunCall['begun'] | undefined> {
    const { attempts, workerId } = this.#deps;
    const begun = await attempts.begin({ tenant, invocationId, workerId, version, jobId });
    return begun && { ...begun, startedAtMs: Date.now() };
  }

  /** The guest is under way. Nobody waits for this to be known. */
  running({ ref, item, begun }: BegunCall): void {
    this.#deps.attempts.running(ref.tenant, item.invocationId, begun.attempt).catch(() => undefined);
  }

  /**
   * An attempt has ended.
   * @param isCurable another host may do better; of a host fault
   * @returns how the call ends; undefined when another attempt follows, or somebody else has ended or begun it
   */
  async conclude(call: BegunCall, end: Settlement, isCurable: boolean): Promise<Settlement | undefined> {
    const { ref, item, begun } = call;
    const { outcome } = end.record;
    const faults = begun.faults + (outcome === 'host-fault' ? 1 : 0);
    const { attempt } = begun;
    const { acceptedAtMs, retry } = item;
    const next = nextOf({ outcome, isCurable, attempt, faults, acceptedAtMs, retry }, Date.now());
    const ended = attemptOf(end.record, begun.startedAtMs);
    if (next.kind === 'end')
      return finalOf(call, end, { attempts: [...begun.past, ended], state: next.state });
    await this.#deps.attempts.putOff({
      tenant: ref.tenant,
      function: ref.name,
      invocationId: item.invocationId,
      ended,
      faults,
      delayMs: next.delayMs,
      head: `{"v":${jobVersionOf(ref)},"function":${JSON.stringify(ref)},"items":[`,
      tail: ']}',
      item: JSON.stringify({ ...item, attempt: attempt + 1 }),
      leaseMs: RUNS * item.timeoutMs + LEASE_MARGIN_MS,
    });
    return undefined;
  }
}

/** The end of a call that is not tried again; one that was given up is kept so that it can be made again. */
export function finalOf(
  { ref, item }: Pick<BegunCall, 'ref' | 'item'>,
  end: Settlement,
  { attempts, state }: { attempts: readonly Attempt[]; state: InvocationRecord['state'] | undefined },
): Settlement {
  const record = { ...end.record, attempts, ...(state !== undefined && { state }) };
  if (state === undefined) return { ...end, record };
  const letter: DeadCall = { v: 1, function: ref, item };
  return { ...end, record, letter: JSON.stringify(letter) };
}

function attemptOf(record: InvocationRecord, startedAtMs: number): Attempt {
  const { attempt, workerId, version, outcome, detail, timings, finishedAtMs } = record;
  return {
    ...{ attempt, workerId, version, startedAtMs, finishedAtMs: Math.floor(finishedAtMs), outcome },
    ...(detail !== undefined && { detail: detail.message }),
    timings,
  };
}
