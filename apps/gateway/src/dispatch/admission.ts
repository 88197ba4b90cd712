import { gatewayError } from '../errors.js';
import type { QueueName } from './job-producer.js';
import type { QueueDepth } from './queue-depth.js';

export interface AdmissionLimits {
  readonly maxInFlight: number;
  readonly tenantMaxInFlight: number;
  readonly maxQueueDepth: number;
}

const WINDOW_MS = 1_000;
const MAX_RETRY_AFTER_S = 60;

/** Decides, before anything is queued, whether a call may come in. Bounds what this gateway holds in memory. */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #depth: QueueDepth;
  readonly #inFlightOf = new Map<string, number>();
  #inFlight = 0;
  #windowStartMs = 0;
  #endedInWindow = 0;
  #endedPerS = 0;

  constructor(limits: AdmissionLimits, depth: QueueDepth) {
    this.#limits = limits;
    this.#depth = depth;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Calls in flight of each tenant that has any. */
  inFlightByTenant(): Iterable<readonly [tenant: string, calls: number]> {
    return this.#inFlightOf;
  }

  /** The last known number of jobs that wait. */
  queueDepth(queue: QueueName): number {
    return this.#depth.recent(queue);
  }

  /** Takes a place for a sync call; `leave` gives it back. @throws MAYFLY_ERR_GATEWAY_TENANT_BUSY, …_SATURATED */
  enter(tenant: string): void {
    const ofTenant = this.#inFlightOf.get(tenant) ?? 0;
    const { maxInFlight, tenantMaxInFlight } = this.#limits;
    if (ofTenant >= tenantMaxInFlight)
      throw gatewayError('MAYFLY_ERR_GATEWAY_TENANT_BUSY', `${ofTenant} calls of the tenant are in flight`, {
        details: {
          retryAfterS: this.#secondsFor(ofTenant),
          limit: { name: 'tenantMaxInFlight', value: tenantMaxInFlight, current: ofTenant },
        },
      });
    if (this.#inFlight >= maxInFlight) throw this.#saturated('maxInFlight', maxInFlight, this.#inFlight);
    this.checkQueue('sync');
    this.#inFlightOf.set(tenant, ofTenant + 1);
    this.#inFlight += 1;
  }

  leave(tenant: string): void {
    const ofTenant = (this.#inFlightOf.get(tenant) ?? 1) - 1;
    if (ofTenant === 0) this.#inFlightOf.delete(tenant);
    else this.#inFlightOf.set(tenant, ofTenant);
    this.#inFlight -= 1;
    this.#endedInWindow += 1;
  }

  /** @throws MAYFLY_ERR_GATEWAY_SATURATED when too many jobs wait already. */
  checkQueue(queue: QueueName): void {
    const depth = this.#depth.recent(queue);
    if (depth >= this.#limits.maxQueueDepth)
      throw this.#saturated('maxQueueDepth', this.#limits.maxQueueDepth, depth);
  }

  #saturated(name: string, value: number, current: number) {
    return gatewayError('MAYFLY_ERR_GATEWAY_SATURATED', `${current} calls are waiting`, {
      details: { retryAfterS: this.#secondsFor(current), limit: { name, value, current } },
    });
  }

  /** How long the platform needs for so many calls at its present pace. */
  #secondsFor(calls: number): number {
    const elapsedMs = Date.now() - this.#windowStartMs;
    if (elapsedMs >= WINDOW_MS) {
      this.#endedPerS = (this.#endedInWindow * 1000) / elapsedMs;
      this.#endedInWindow = 0;
      this.#windowStartMs = Date.now();
    }
    return Math.min(MAX_RETRY_AFTER_S, Math.max(1, Math.ceil(calls / Math.max(1, this.#endedPerS))));
  }
}
