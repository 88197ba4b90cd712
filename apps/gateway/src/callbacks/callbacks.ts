import type { IncomingHttpHeaders } from 'node:http';
import { isMayflyError } from '@mayfly/contracts';
import type { CallbackQueue, CallbackState } from '@mayfly/queue';
import { invalidRequest } from '../errors.js';
import type { Outbound } from '../outbound/outbound.js';
import { orUnavailable } from '../redis.js';
import type { TenantPolicies } from '../tenants/tenant-policies.js';
import type { WebhookSecrets } from './webhook-secrets.js';

const POINTER = '#callback-url';

export interface CallbacksDeps {
  readonly queue: CallbackQueue;
  readonly outbound: Outbound;
  readonly secrets: WebhookSecrets;
  readonly policies: TenantPolicies;
}

/** What a request says of a callback, and what became of one. */
export class Callbacks {
  readonly #deps: CallbacksDeps;

  constructor(deps: CallbacksDeps) {
    this.#deps = deps;
  }

  /**
   * Reads `Callback-Url`; undefined without one, at once. All that can be wrong without a resolver is found here, before
   * the call is taken.
   * @param outlives whether the call outlives its connection
   * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST, MAYFLY_ERR_GATEWAY_NO_SECRETS, MAYFLY_ERR_GATEWAY_UNAVAILABLE
   */
  read(
    headers: IncomingHttpHeaders,
    tenant: string,
    outlives: boolean,
  ): undefined | Promise<{ readonly url: string }> {
    const url = headers['callback-url'];
    return url === undefined ? undefined : this.#check(String(url), tenant, outlives);
  }

  stateOf(tenant: string, invocationId: string): Promise<CallbackState> {
    return orUnavailable(this.#deps.queue.stateOf(tenant, invocationId));
  }

  async #check(url: string, tenant: string, outlives: boolean): Promise<{ readonly url: string }> {
    if (!outlives)
      throw invalidRequest({
        pointer: POINTER,
        detail: 'only with Prefer: respond-async; this call is waited for',
      });
    const { outbound, policies, secrets } = this.#deps;
    try {
      outbound.check(url, { hosts: policies.of(tenant).callbackHosts });
    } catch (error) {
      if (!isMayflyError(error, 'MAYFLY_ERR_GATEWAY_OUTBOUND_REFUSED')) throw error;
      throw invalidRequest({ pointer: POINTER, detail: error.message });
    }
    if (!(await secrets.has(tenant)))
      throw invalidRequest({
        pointer: POINTER,
        detail: 'the tenant has nothing to sign callbacks with: POST /v1/webhook-secret makes it',
      });
    return { url };
  }
}
