import { isMayflyError } from '@mayfly/contracts';
import type { CallbackAttempt, CallbackEnd, CallbackQueue } from '@mayfly/queue';
import type { InvocationStore } from '../invocations/invocation-store.js';
import type { Outbound } from '../outbound/outbound.js';
import type { TenantPolicies } from '../tenants/tenant-policies.js';
import { callbackBody } from './payload.js';
import { RETRY_WAITS_MS, waitAfter } from './schedule.js';
import { signedHeaders } from './signature.js';
import type { WebhookSecrets } from './webhook-secrets.js';

const LOOK_MS = 500;
/** Attempts under way in this gateway, and of a tenant that may begin more: receivers that hang hold no more places. */
const MOST = 64;
const PER_TENANT = 8;
const GONE = 410;

export interface DelivererDeps {
  readonly queue: CallbackQueue;
  readonly store: Pick<InvocationStore, 'find'>;
  readonly outbound: Outbound;
  readonly secrets: Pick<WebhookSecrets, 'signing'>;
  readonly policies: TenantPolicies;
  /** What is the platform's fault; no URL and no secret is in it. */
  readonly onError: (error: unknown, invocationId?: string) => void;
  /** Of an attempt that was made. */
  readonly onAttempt?: ((end: CallbackEnd) => void) | undefined;
  /** @defaultValue RETRY_WAITS_MS */
  readonly retryWaitsMs?: readonly number[] | undefined;
}

/**
 * Delivers callbacks that are due. Every gateway looks, and the queue gives each attempt to one of them; when that one
 * dies, the attempt is due again after its lease. So a receiver may be told twice, with the same `webhook-id`.
 */
export class CallbackDeliverer {
  readonly #deps: DelivererDeps;
  readonly #running = new Set<Promise<void>>();
  readonly #runningOf = new Map<string, number>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;

  constructor(deps: DelivererDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#next(LOOK_MS);
  }

  /** Claims nothing more; resolves when what is under way has ended, which is bounded by the time of a request. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#looking;
    await Promise.all(this.#running);
  }

  #next(delayMs: number): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#looking = this.#look();
    }, delayMs);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    const most = MOST - this.#running.size;
    let found = 0;
    if (most > 0)
      try {
        const busy = [...this.#runningOf].filter(([, running]) => running >= PER_TENANT);
        const without = busy.map(([tenant]) => tenant);
        const attempts = await this.#deps.queue.claim({ most, perTenant: PER_TENANT, without });
        found = attempts.length;
        for (const attempt of attempts) this.#run(attempt);
      } catch (error) {
        this.#deps.onError(error);
      }
    this.#next(found > 0 ? 0 : LOOK_MS);
  }

  #run(attempt: CallbackAttempt): void {
    const { tenant, invocationId } = attempt;
    this.#runningOf.set(tenant, (this.#runningOf.get(tenant) ?? 0) + 1);
    const work = this.#attempt(attempt)
      .catch((error: unknown) => this.#deps.onError(error, invocationId))
      .finally(() => {
        this.#running.delete(work);
        const left = (this.#runningOf.get(tenant) ?? 1) - 1;
        if (left === 0) this.#runningOf.delete(tenant);
        else this.#runningOf.set(tenant, left);
      });
    this.#running.add(work);
  }

  async #attempt(attempt: CallbackAttempt): Promise<void> {
    const end = await this.#send(attempt);
    this.#deps.onAttempt?.(end);
    await this.#deps.queue.finish(attempt, end);
  }

  async #send(attempt: CallbackAttempt): Promise<CallbackEnd> {
    const { tenant, invocationId } = attempt;
    const { store, outbound, secrets, policies } = this.#deps;
    const known = await store.find(tenant, invocationId);
    const url = known?.accepted?.callback?.url;
    const body = known && callbackBody(known);
    // Its record is gone, or was never one: there is nothing to tell, and nobody to tell it to.
    if (url === undefined || body === undefined) return { state: 'failed', error: 'gone' };
    try {
      const signing = await secrets.signing(tenant);
      if (signing.length === 0) return this.#failed(attempt, { error: 'no-secret' });
      const message = { id: invocationId, timestampS: Math.floor(Date.now() / 1000), body };
      const answer = await outbound.post({
        url,
        hosts: policies.of(tenant).callbackHosts,
        headers: {
          'content-type': 'application/json',
          'user-agent': 'mayfly',
          ...signedHeaders(message, signing),
        },
        body: Buffer.from(body),
      });
      const { status } = answer;
      if (status >= 200 && status < 300) return { state: 'delivered', status };
      // The receiver says that it wants no more of these.
      if (status === GONE) return { state: 'failed', status, error: 'status' };
      return this.#failed(attempt, { status, error: 'status' }, answer.header('retry-after'));
    } catch (error) {
      if (!isMayflyError(error) || error.definition.fault === 'host') this.#deps.onError(error, invocationId);
      return this.#failed(attempt, { error: reasonOf(error) });
    }
  }

  #failed(
    { attempt }: CallbackAttempt,
    why: Pick<CallbackEnd, 'status' | 'error'>,
    retryAfter?: string,
  ): CallbackEnd {
    const nextInMs = waitAfter(attempt, this.#deps.retryWaitsMs ?? RETRY_WAITS_MS, retryAfter);
    return nextInMs === undefined ? { state: 'failed', ...why } : { state: 'pending', ...why, nextInMs };
  }
}

/** A word that the tenant may read. */
function reasonOf(error: unknown): string {
  if (!isMayflyError(error)) return 'platform';
  const { reason } = error.details as { readonly reason?: string };
  return reason ?? 'platform';
}
