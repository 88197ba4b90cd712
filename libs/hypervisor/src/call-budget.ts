import { hypervisorError } from './errors.js';

/** What a call, or an initialisation, may cost the host; what is over it ends as `host-budget`. */
export interface CallBudget {
  /**
   * VM exits, counted whenever the guest comes back to the loop. What the vCPU thread serves on its own (log records,
   * port 103) counts, but a run of such exits is looked at only when it ends; the outbox's own caps and the deadline
   * end it. @defaultValue 1_000_000
   */
  readonly exits: number;
  /** Host function calls, `HostPrint` included. @defaultValue 100_000 */
  readonly hostCalls: number;
  /** Milliseconds in host functions, waits for asynchronous ones and decoding included. @defaultValue 20_000 */
  readonly hostTimeMs: number;
  /** Bytes that the host decodes: host calls, log records, abort and debug bytes, the result. @defaultValue 256 MiB */
  readonly decodedBytes: number;
}

export const DEFAULT_BUDGET: CallBudget = {
  exits: 1_000_000,
  hostCalls: 100_000,
  hostTimeMs: 20_000,
  decodedBytes: 256 * 1024 * 1024,
};

/**
 * Fills in the defaults.
 *
 * @throws MAYFLY_ERR_SANDBOX_OPTIONS for what is not a number above 0; `Infinity` lifts a limit.
 */
export function resolveBudget(budget: Partial<CallBudget> = {}): CallBudget {
  const limit = (name: keyof CallBudget): number => {
    const value = budget[name] ?? DEFAULT_BUDGET[name];
    if (typeof value === 'number' && value > 0) return value;
    throw hypervisorError(
      'MAYFLY_ERR_SANDBOX_OPTIONS',
      `budget.${name} is ${String(value)}: expected a number above 0`,
      { details: { option: `budget.${name}` } },
    );
  };
  return Object.freeze({
    exits: limit('exits'),
    hostCalls: limit('hostCalls'),
    hostTimeMs: limit('hostTimeMs'),
    decodedBytes: limit('decodedBytes'),
  });
}
