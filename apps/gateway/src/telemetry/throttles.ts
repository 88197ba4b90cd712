import { isMayflyError } from '@mayfly/contracts';
import type { Instruments } from '@mayfly/telemetry';
import { problemWord } from '../errors.js';

/** Why a call is not let in, as opposed to why it cannot be one. */
const THROTTLES = [
  'MAYFLY_ERR_GATEWAY_TENANT_BUSY',
  'MAYFLY_ERR_GATEWAY_SATURATED',
  'MAYFLY_ERR_GATEWAY_DRAINING',
];

/** Counts the calls that were not let in, wherever that is answered: as a response, or as a line of a batch. */
export class Throttles {
  readonly #counter: Instruments<'gateway'>['tenantThrottled'];
  /** The first error of a batch may be the answer to all of it, too. */
  readonly #counted = new WeakSet<Error>();

  constructor(counter: Instruments<'gateway'>['tenantThrottled']) {
    this.#counter = counter;
  }

  /** Counts the error if it is of that kind, and only once. */
  note(tenant: string, error: unknown): void {
    if (!isMayflyError(error) || !THROTTLES.includes(error.code) || this.#counted.has(error)) return;
    this.#counted.add(error);
    const { limit } = error.details as { readonly limit?: { readonly name: string } };
    this.#counter.add(1, tenant, problemWord(error.code) ?? error.code, limit?.name ?? 'none');
  }
}
