import { gatewayError } from '../errors.js';

export interface AdmissionLimits {
  readonly maxInFlight: number;
  readonly tenantMaxInFlight: number;
}

const WINDOW_MS = 1_000;
const MAX_RETRY_AFTER_S = 60;

/** Bounds what this gateway holds in memory; what tenants may use is decided by the gate, for all gateways. */
export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #inFlightOf = new Map<string, number>();
  #inFlight = 0;
  #windowStartMs = 0;
  #endedInWindow = 0;
  #endedPerS = 0;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Calls in flight of each tenant that has any. */
  inFlightByTenant(): Iterable<readonly [tenant: string, calls: number]> {
    return this.#inFlightOf;
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
