import type { ServerResponse } from 'node:http';
import type { BlobStore } from '@mayfly/blobs';
import {
  type AcceptedRecord,
  DEFAULT_SETTINGS,
  type InvocationItem,
  type InvocationRecord,
  LIMITS,
  type MayflyError,
} from '@mayfly/contracts';
import type { Admission as Admitted } from '@mayfly/queue';
import { preciseNowMs } from '@mayfly/telemetry';
import type { Admission } from '../dispatch/admission.js';
import type { JobProducer } from '../dispatch/job-producer.js';
import type { Placement } from '../dispatch/placement.js';
import type { RedisMemory } from '../dispatch/redis-memory.js';
import { rateLimitHeaders, refusalError } from '../dispatch/refusal.js';
import type { SyncLanes, Ticket } from '../dispatch/sync-lanes.js';
import type { WaitEnd, Waiter, Waiters } from '../dispatch/waiters.js';
import { gatewayError } from '../errors.js';
import { newInvocationId } from '../ids.js';
import type { Answer } from '../problem.js';
import type { TenantPolicies } from '../tenants/tenant-policies.js';
import { answerOfRecord } from './answer.js';
import { acceptedRecord, type Call } from './call.js';
import type { Canceler } from './canceler.js';
import {
  type InvocationStore,
  isInvocationRecord,
  type TerminalCode,
  type TerminalEnd,
} from './invocation-store.js';
import { resultBytes } from './result-bytes.js';

export interface InvokerDeps {
  readonly store: InvocationStore;
  readonly producer: JobProducer;
  readonly lanes: SyncLanes;
  readonly waiters: Waiters;
  readonly canceler: Pick<Canceler, 'abandon'>;
  readonly admission: Admission;
  readonly memory: Pick<RedisMemory, 'check'>;
  readonly placement: Placement;
  readonly policies: TenantPolicies;
  readonly blobs: BlobStore;
  /** What a sync caller waits at most beyond the guest's own time. */
  readonly queueWaitMs: number;
  readonly onHostFault: (error: unknown, invocationId: string) => void;
  /** A call that this gateway ends itself, by the code of its error. */
  readonly onDispatchFailure?: ((code: TerminalCode) => void) | undefined;
}

interface Arrived {
  readonly record: InvocationRecord;
  readonly body?: Uint8Array;
}

/** Takes validated calls to a worker and their answers back. */
export class Invoker {
  readonly #deps: InvokerDeps;
  #draining = false;

  constructor(deps: InvokerDeps) {
    this.#deps = deps;
  }

  /** From here on no call comes in. */
  beginDrain(): void {
    this.#draining = true;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** Sync calls whose callers wait. */
  get waiting(): number {
    return this.#deps.admission.inFlight;
  }

  /** @throws MAYFLY_ERR_GATEWAY_DRAINING once a drain has begun. */
  checkOpen(): void {
    if (this.#draining) throw gatewayError('MAYFLY_ERR_GATEWAY_DRAINING', 'no new calls are taken');
  }

  /**
   * Queues a call and waits for its end. The caller gets the result or a named error, and one of both is on record.
   * @param client cancels the call by going away before its end; absent: the call goes on without its client
   * @throws MAYFLY_ERR_GATEWAY_DRAINING, …_TENANT_BUSY, …_SATURATED, …_NO_HOST before anything is queued
   */
  async invoke(call: Call, client?: ServerResponse): Promise<Answer> {
    const placed = this.#deps.placement.check(call.ref.tenant);
    if (placed !== undefined) await placed;
    this.checkOpen();
    const { tenant } = call.ref;
    const { trace } = call;
    const { admission, waiters, lanes, queueWaitMs, policies } = this.#deps;
    const { quotas } = policies.of(tenant);
    this.#enter(call);
    const acceptedAtMs = preciseNowMs();
    const invocationId = call.invocationId ?? newInvocationId(acceptedAtMs);
    const waitMs = queueWaitMs + call.timeoutMs;
    const waiter = waiters.open({
      ...{ tenant, invocationId, waitMs },
      accepted: () => acceptedRecord(call, invocationId, acceptedAtMs),
    });
    let cameIn: Admitted | undefined;
    const ticket = lanes.submit(call.ref, {
      item: {
        ...itemOf(call, invocationId, acceptedAtMs),
        expiresAtMs: acceptedAtMs + waitMs,
        replyToken: waiter.token,
        ...trace?.sends('sync', call.inputBytes),
      },
      sizeBytes: call.inputBytes,
      onSent: (admitted) => {
        cameIn = admitted;
        trace?.decided('admitted', admitted.waiting);
        trace?.sent(admitted.jobId);
      },
      onRefused: (refused) => {
        trace?.decided('refused', refused.waiting);
        waiters.end(waiter.token, { kind: 'refused', error: refusalError(refused, quotas) });
      },
      onLost: (error) => {
        trace?.sent(undefined);
        waiters.end(waiter.token, { kind: 'lost', error });
      },
    });
    const gone = client && this.#watch(client, waiter);
    let runUs: number | undefined;
    try {
      const end = await waiter.ended;
      if (end.kind === 'refused') throw end.error;
      const accepted = waiter.accepted();
      let answer: Answer;
      if (end.kind === 'arrived' && isInvocationRecord(end.record)) {
        runUs = runTime(end.record);
        answer = await this.#answer(call, accepted, await this.#standing(end));
      } else answer = await this.#withoutReply(call, accepted, { end, ticket });
      // Beside the queue the reply can be faster than the answer to what was sent there.
      return cameIn === undefined ? answer : withHeaders(answer, rateLimitHeaders(cameIn, quotas));
    } finally {
      if (gone) client?.off('close', gone);
      lanes.settle(ticket, runUs);
      admission.leave(tenant);
    }
  }

  /** A worker that found a call lost leaves it to this gateway to put that on record, unless an end is there. */
  async #standing(end: Arrived): Promise<Arrived> {
    if (end.record.outcome !== 'host-fault') return end;
    const record = await this.#deps.store.writeEnd(end.record).catch(() => undefined);
    return record === undefined ? end : { record };
  }

  /** Cancels the call when its client goes away. @returns what listens. */
  #watch(client: ServerResponse, waiter: Waiter): () => void {
    const { canceler, onHostFault } = this.#deps;
    const gone = () => {
      // What could not be stopped runs to its end or its time limit.
      canceler.abandon(waiter).catch((error: unknown) => onHostFault(error, waiter.invocationId));
    };
    if (client.closed) gone();
    else client.once('close', gone);
    return gone;
  }

  /**
   * Queues a call that outlives its connection.
   * @param onCameIn gets the header fields that say what is left of the tenant's rate
   * @throws MAYFLY_ERR_GATEWAY_DRAINING, …_TENANT_BUSY, …_SATURATED, …_NO_HOST, …_UNAVAILABLE; nothing is queued then
   */
  async accept(call: Call, onCameIn?: (headers: Record<string, string>) => void): Promise<AcceptedRecord> {
    const { tenant } = call.ref;
    const placed = this.#deps.placement.check(tenant);
    if (placed !== undefined) await placed;
    this.checkOpen();
    const { trace } = call;
    const { memory, store, producer, policies } = this.#deps;
    const { quotas } = policies.of(tenant);
    trace?.invokes(call.ref.name);
    memory.check('async');
    const acceptedAtMs = preciseNowMs();
    const invocationId = call.invocationId ?? newInvocationId(acceptedAtMs);
    const accepted = acceptedRecord(call, invocationId, acceptedAtMs);
    // One connection keeps the order: the record is there before a worker can end the call.
    const written = store.writeAccepted(tenant, accepted);
    const { retry } = call;
    const item: InvocationItem = {
      ...itemOf(call, invocationId, acceptedAtMs),
      // What holds without a word needs none.
      ...(retry !== undefined && retry !== DEFAULT_SETTINGS.retry && { retry }),
      ...trace?.sends('async', call.inputBytes),
    };
    const [record, sent] = await Promise.allSettled([written, producer.addAsync(call.ref, [item])]);
    if (sent.status === 'rejected' || sent.value.admitted === 0)
      await store.removeAccepted(tenant, invocationId).catch(() => undefined);
    if (sent.status === 'rejected') {
      trace?.sent(undefined);
      throw unavailable(sent.reason);
    }
    trace?.decided(sent.value.admitted > 0 ? 'admitted' : 'refused', sent.value.waiting);
    if (sent.value.admitted === 0) throw refusalError(sent.value, quotas);
    trace?.sent(invocationId);
    if (record.status === 'rejected') throw unavailable(record.reason);
    onCameIn?.(rateLimitHeaders(sent.value, quotas));
    return accepted;
  }

  /** Takes a place in this gateway's memory. */
  #enter({ trace, ref }: Call): void {
    trace?.invokes(ref.name);
    try {
      this.#deps.memory.check('sync');
      this.#deps.admission.enter(ref.tenant);
    } catch (error) {
      trace?.decided('refused');
      throw error;
    }
  }

  /** Ends an open call with its worker's record, when there is one. */
  async collect(token: string): Promise<void> {
    const { waiters, store } = this.#deps;
    const waiter = waiters.find(token);
    if (waiter === undefined) return;
    const record = await store.findRecord(waiter.tenant, waiter.invocationId).catch(() => undefined);
    if (record !== undefined) waiters.deliver(token, record);
  }

  async #answer(call: Call, accepted: AcceptedRecord, { record, body }: Arrived): Promise<Answer> {
    const { store, blobs, onHostFault } = this.#deps;
    call.trace?.answered(record.trace);
    if (record.outcome === 'host-fault') onHostFault(record.detail?.message, record.invocationId);
    // An envelope is what a reader assumes; only a raw answer has to be remembered as one.
    if (call.shape.raw)
      store.writeAnswered(call.ref.tenant, { ...accepted, answered: true }).catch(() => undefined);
    return answerOfRecord(record, await resultBytes(blobs, record, body), call.shape);
  }

  /** The wait ended without a reply: looks once whether there is a record after all, else puts the end on record. */
  async #withoutReply(
    call: Call,
    accepted: AcceptedRecord,
    { end, ticket }: { end: WaitEnd; ticket: Ticket },
  ): Promise<Answer> {
    const { store, onHostFault } = this.#deps;
    const { tenant } = call.ref;
    const { invocationId } = accepted;
    const record =
      end.kind === 'lost' ? undefined : await store.findRecord(tenant, invocationId).catch(() => undefined);
    if (record !== undefined) return this.#answer(call, accepted, { record });
    const terminal = await this.#terminalEnd(call, accepted, { end, ticket });
    this.#deps.onDispatchFailure?.(terminal.code);
    const trace = call.trace?.lost();
    onHostFault(end.kind === 'lost' ? end.error : terminal.message, invocationId);
    const written = await store
      .writeTerminal(accepted, { ...terminal, ...(trace && { trace }) })
      .catch(() => undefined);
    if (written !== undefined) return answerOfRecord(written, undefined, call.shape);
    throw gatewayError(terminal.code, terminal.message, { details: { invocationId } });
  }

  async #terminalEnd(
    { ref }: Call,
    { invocationId }: AcceptedRecord,
    { end, ticket }: { end: WaitEnd; ticket: Ticket },
  ): Promise<TerminalEnd> {
    if (end.kind === 'lost')
      return { code: 'MAYFLY_ERR_GATEWAY_UNAVAILABLE', message: 'the call could not be queued' };
    if (end.kind === 'drained')
      return { code: 'MAYFLY_ERR_GATEWAY_DRAINING', message: 'the gateway shut down before the call ended' };
    if (end.kind === 'arrived')
      return { code: 'MAYFLY_ERR_GATEWAY_CALL_LOST', message: 'a worker sent an answer that is none' };
    const place = await this.#deps.producer
      .placeOfSync({ tenant: ref.tenant, function: ref.name, invocationId }, ticket.job?.jobId)
      .catch(() => 'gone' as const);
    return place === 'waiting'
      ? { code: 'MAYFLY_ERR_GATEWAY_QUEUE_TIMEOUT', message: 'no worker took the call in time' }
      : { code: 'MAYFLY_ERR_GATEWAY_CALL_LOST', message: 'the worker that took the call did not answer' };
  }
}

function itemOf(call: Call, invocationId: string, acceptedAtMs: number): InvocationItem {
  const { entrypoint, input, returns, timeoutMs, alias, given, storeResult } = call;
  return {
    invocationId,
    entrypoint,
    input,
    returns,
    timeoutMs,
    acceptedAtMs,
    ...(alias && { alias }),
    ...(storeResult && { storeResult }),
    ...given,
  };
}

function withHeaders(answer: Answer, headers: Record<string, string>): Answer {
  return { ...answer, headers: { ...answer.headers, ...headers } };
}

function runTime({ timings }: InvocationRecord): number | undefined {
  const us = timings.restoreUs + timings.runUs + timings.resultUs;
  return Number.isFinite(us) ? us : undefined;
}

function unavailable(cause: unknown): MayflyError {
  return gatewayError('MAYFLY_ERR_GATEWAY_UNAVAILABLE', 'the call could not be queued', { cause });
}

export const DEFAULT_QUEUE_WAIT_MS = LIMITS.queueWaitMs;
