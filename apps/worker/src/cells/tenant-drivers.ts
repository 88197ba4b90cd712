import type { HypervisorDriver, ResetMismatch } from '@mayfly/hypervisor';
import { workerError } from '../errors.js';

/** A driver that can come to an end by itself, with all that was made with it. */
export interface TenantDriver extends HypervisorDriver {
  /** Why it has ended; undefined while it serves. */
  readonly ended?: Error | undefined;
  /** Ends it: what is under way fails with this error. Absent: it is the worker's own process. */
  end?(error: Error): void;
}

/**
 * A restore left something behind. In the worker's own process nothing can be trusted any more: `panic`. A cell's word
 * is worth no more than its tenant's, who may have taken it over: its sandboxes end with it, and nobody else's.
 */
export function onMismatch(
  driver: TenantDriver,
  mismatch: ResetMismatch,
  panic: (mismatch: ResetMismatch) => void,
): void {
  if (driver.end === undefined) {
    panic(mismatch);
    return;
  }
  const { differingPages, differingRegisters } = mismatch;
  driver.end(
    workerError('MAYFLY_ERR_CELL_UNCLEAN', 'a sandbox differs from its snapshot right after a restore', {
      details: { differingPages, differingRegisters },
    }),
  );
}

/** Which driver a tenant's guests run on. */
export interface TenantDrivers {
  /**
   * @throws MAYFLY_ERR_ISOLATION for a tenant that this worker does not serve, MAYFLY_ERR_POOL_FULL, and what keeps a
   * driver from starting.
   */
  driverOf(tenant: string): Promise<TenantDriver>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** The core in the worker's own process: for one tenant, whom the operator names. */
export class ThreadDrivers implements TenantDrivers {
  readonly #driver: HypervisorDriver;
  readonly #tenant: string;

  constructor(driver: HypervisorDriver, tenant: string) {
    this.#driver = driver;
    this.#tenant = tenant;
  }

  async driverOf(tenant: string): Promise<TenantDriver> {
    if (tenant === this.#tenant) return this.#driver;
    throw workerError(
      'MAYFLY_ERR_ISOLATION',
      `MAYFLY_ISOLATION=thread serves the tenant ${this.#tenant} (MAYFLY_TENANT) and nobody else`,
      { details: { tenant } },
    );
  }

  close(): Promise<void> {
    return this.#driver.close();
  }
}
