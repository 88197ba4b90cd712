import { setTimeout as delay } from 'node:timers/promises';
import type { AcceptedRecord, CancelFinding, CancelOrder, InvocationRecord } from '@mayfly/contracts';
import type { Attempts, CallClass } from '@mayfly/queue';
import type { CancelDesk, CancelReports } from '../dispatch/cancel-desk.js';
import type { Waiter, Waiters } from '../dispatch/waiters.js';
import { gatewayError, notFound } from '../errors.js';
import { orUnavailable } from '../redis.js';
import type { InvocationStore } from './invocation-store.js';

/** The record of a call that was killed is on its way when the kill is told of. */
const LOOKS = 8;
const LOOK_AGAIN_MS = 10;

export interface CancelerDeps {
  readonly store: InvocationStore;
  readonly waiters: Waiters;
  readonly desk: CancelDesk;
  readonly attempts: Pick<Attempts, 'wantCancel'>;
  readonly onCancel: (reason: CancelReason) => void;
}

/** Who wanted no more: somebody said so, or the client of a sync call went away. */
export type CancelReason = 'request' | 'disconnect';

/** Who cancels. */
export interface Canceling {
  readonly tenant: string;
  /** Which functions' calls. */
  readonly mayTouch: (functionName: string) => boolean;
  /** Whether these are all of the tenant's. */
  readonly isUnrestricted: boolean;
}

/**
 * Ends invocations that nobody wants any more. Whoever holds the call ends it, and is heard before anything is said to
 * the client; where nobody holds it, it waits in the queue, and its end is put on record here. The first end stands.
 */
export class Canceler {
  readonly #deps: CancelerDeps;

  constructor(deps: CancelerDeps) {
    this.#deps = deps;
  }

  /**
   * @returns how the invocation ended, which may have been otherwise. No guest of it runs then.
   * @throws MAYFLY_ERR_GATEWAY_NOT_FOUND; MAYFLY_ERR_GATEWAY_CANCEL_UNCONFIRMED when it may still run
   */
  async cancel(invocationId: string, by: Canceling): Promise<InvocationRecord> {
    const ended = await this.#cancel(invocationId, by);
    if (ended.outcome === 'canceled') this.#deps.onCancel('request');
    return ended;
  }

  async #cancel(
    invocationId: string,
    { tenant, mayTouch, isUnrestricted }: Canceling,
  ): Promise<InvocationRecord> {
    const { store, waiters, desk } = this.#deps;
    const missing = () => notFound(`invocation ${invocationId}`);
    const waiter = waiters.findCall(tenant, invocationId);
    if (waiter !== undefined) {
      if (!mayTouch(waiter.accepted().function)) throw missing();
      return this.#endWaiting(waiter);
    }
    const known = await store.find(tenant, invocationId);
    const name = known?.ended?.function ?? known?.accepted?.function;
    if (name === undefined ? !isUnrestricted : !mayTouch(name)) throw missing();
    if (known?.ended !== undefined) return known.ended;
    if (known?.accepted !== undefined && !('answered' in known.accepted))
      return this.#endAsync(known.accepted);
    // A sync call that another gateway waits for has no record yet: that gateway ends it.
    const reports = await desk.order(tenant, invocationId);
    const record = reports.ended ? await this.#look(tenant, invocationId) : undefined;
    if (record !== undefined) return record;
    throw reports.ended || reports.missing > 0 ? unconfirmed(invocationId) : missing();
  }

  /** An attempt whose worker does not answer may run; where none has begun, none begins any more. */
  async #endAsync(accepted: AcceptedRecord): Promise<InvocationRecord> {
    const { attempts } = this.#deps;
    const runner = await orUnavailable(attempts.wantCancel(accepted.tenant, accepted.invocationId));
    return this.#end(accepted, 'async', ({ by }) => runner === undefined || by.has(runner));
  }

  /** Another gateway gave an order: a caller may wait for the call here. */
  async obey({ tenant, invocationId }: CancelOrder): Promise<CancelFinding> {
    const waiter = this.#deps.waiters.findCall(tenant, invocationId);
    if (waiter === undefined) return 'none';
    await this.#endWaiting(waiter);
    return 'ended';
  }

  /** The client of a sync call has gone. */
  async abandon(waiter: Waiter): Promise<void> {
    this.#deps.onCancel('disconnect');
    await this.#endWaiting(waiter);
  }

  async #endWaiting(waiter: Waiter): Promise<InvocationRecord> {
    const { waiters } = this.#deps;
    const record = await this.#end(waiter.accepted(), 'sync');
    // Its worker's reply may have been faster.
    if (waiters.find(waiter.token) !== undefined) waiters.deliver(waiter.token, record);
    return record;
  }

  /** @param isFree whether nobody can hold the call, by what was reported */
  async #end(
    accepted: AcceptedRecord,
    kind: CallClass,
    isFree = ({ missing }: CancelReports) => missing === 0,
  ): Promise<InvocationRecord> {
    const { store, desk } = this.#deps;
    const { tenant, invocationId } = accepted;
    const reports = await desk.order(tenant, invocationId);
    const record = reports.ended ? await this.#look(tenant, invocationId) : undefined;
    if (record !== undefined) return record;
    if (reports.ended || !isFree(reports)) throw unconfirmed(invocationId);
    return store.writeCanceled(accepted, kind);
  }

  async #look(tenant: string, invocationId: string): Promise<InvocationRecord | undefined> {
    for (let look = 1; ; look += 1) {
      const known = await this.#deps.store.find(tenant, invocationId);
      if (known?.ended !== undefined || look === LOOKS) return known?.ended;
      await delay(LOOK_AGAIN_MS * look);
    }
  }
}

function unconfirmed(invocationId: string) {
  return gatewayError(
    'MAYFLY_ERR_GATEWAY_CANCEL_UNCONFIRMED',
    'a worker that may run the call does not answer; ask again',
    { details: { invocationId } },
  );
}
