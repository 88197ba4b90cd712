import type { JailReport, ProcessDriver } from '@mayfly/hypervisor';
import { workerError } from '../errors.js';
import type { TenantDriver, TenantDrivers } from './tenant-drivers.js';

export interface CellDriversOptions {
  /** Starts a cell that no tenant has yet. */
  readonly spawn: () => ProcessDriver;
  /** Throws what keeps a cell with such a jail from serving. */
  readonly requireJail: (report: JailReport) => void;
  /** Cells made ahead. */
  readonly spareCells: number;
  /** Cells that have a tenant. */
  readonly maxCells: number;
  /** A cell that did nothing for so long is ended. */
  readonly idleMs: number;
  /** A tenant's cell has ended, and with it all that was made in it. Undefined: because it was idle, or at the close. */
  readonly onEnd: (tenant: string, error: Error | undefined) => void;
}

/** Between two operations of a call, a cell looks idle. */
const LEAST_IDLE_MS = 1_000;
const LEAST_CHECK_MS = 100;
const CHECKS_PER_IDLE_TIME = 4;

interface Bound {
  readonly tenant: string;
  readonly driver: Promise<ProcessDriver>;
  /** Once it is there. */
  cell: ProcessDriver | undefined;
  /** It was idle. */
  isReaped: boolean;
}

/**
 * A cell a tenant: a blank is bound to a tenant once, serves nobody else, and is ended when it has nothing to do for
 * long, or when it is the one used longest ago and another tenant needs the room.
 */
export class CellDrivers implements TenantDrivers {
  readonly #options: CellDriversOptions;
  readonly #bound = new Map<string, Bound>();
  readonly #blanks: ProcessDriver[] = [];
  readonly #ending = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  #closed: Promise<void> | undefined;

  constructor(options: CellDriversOptions) {
    this.#options = options;
    const checkMs = Math.max(LEAST_CHECK_MS, options.idleMs / CHECKS_PER_IDLE_TIME);
    this.#timer = setInterval(() => this.#reap(), Math.min(checkMs, 2 ** 31 - 1));
    this.#timer.unref();
  }

  /**
   * Shows that cells can run here, and how they are jailed.
   * @throws MAYFLY_ERR_NO_HYPERVISOR, MAYFLY_ERR_CELL_START, and what `requireJail` does
   */
  async start(): Promise<JailReport> {
    const first = this.#spawn();
    const report = await this.#jailed(first);
    this.#blanks.push(first);
    this.#fill();
    return report;
  }

  driverOf(tenant: string): Promise<TenantDriver> {
    const present = this.#bound.get(tenant);
    if (present !== undefined && present.cell?.ended === undefined) return present.driver;
    return this.#bind(tenant);
  }

  /** Cells that have a tenant. */
  get size(): number {
    return this.#bound.size;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    for (const blank of this.#blanks.splice(0)) this.#end(blank);
    for (const bound of this.#bound.values()) {
      bound.isReaped = true;
      await bound.driver.then((driver) => this.#end(driver)).catch(() => undefined);
    }
    await Promise.all(this.#ending);
  }

  async #bind(tenant: string): Promise<TenantDriver> {
    if (this.#closed !== undefined) throw workerError('MAYFLY_ERR_POOL_CLOSED', 'the worker shuts down');
    this.#makeRoom(tenant);
    const bound: Bound = { tenant, driver: this.#take(), cell: undefined, isReaped: false };
    this.#bound.set(tenant, bound);
    try {
      const driver = await bound.driver;
      bound.cell = driver;
      driver.gone.then(() => this.#ended(bound, driver));
      return driver;
    } catch (error) {
      this.#forget(bound);
      throw error;
    }
  }

  #ended(bound: Bound, driver: ProcessDriver): void {
    this.#forget(bound);
    this.#options.onEnd(bound.tenant, bound.isReaped ? undefined : driver.ended);
  }

  #forget(bound: Bound): void {
    if (this.#bound.get(bound.tenant) === bound) this.#bound.delete(bound.tenant);
  }

  /** A blank that lives, bound. One that died while it waited is replaced. */
  async #take(): Promise<ProcessDriver> {
    for (;;) {
      const blank = this.#blanks.shift();
      const driver = blank ?? this.#spawn();
      this.#fill();
      try {
        await this.#jailed(driver);
        if (driver.ended === undefined) {
          driver.bind();
          return driver;
        }
      } catch (error) {
        if (blank === undefined) throw error;
      }
    }
  }

  /** Waits for its report; a cell whose jail does not do is ended. */
  async #jailed(driver: ProcessDriver): Promise<JailReport> {
    await driver.ready();
    const report = driver.jail as JailReport;
    try {
      this.#options.requireJail(report);
    } catch (error) {
      this.#end(driver);
      throw error;
    }
    return report;
  }

  #spawn(): ProcessDriver {
    return this.#options.spawn();
  }

  #fill(): void {
    while (this.#closed === undefined && this.#blanks.length < this.#options.spareCells)
      try {
        this.#blanks.push(this.#spawn());
      } catch {
        // Whoever needs one spawns it, and is told why it cannot be.
        return;
      }
  }

  #makeRoom(tenant: string): void {
    const others = [...this.#bound.values()].filter((bound) => bound.tenant !== tenant);
    if (others.length < this.#options.maxCells) return;
    const [oldest] = others
      .filter(({ cell }) => cell !== undefined && cell.idleForMs >= LEAST_IDLE_MS)
      .sort((a, b) => (b.cell?.idleForMs ?? 0) - (a.cell?.idleForMs ?? 0));
    if (oldest === undefined)
      throw workerError('MAYFLY_ERR_POOL_FULL', 'other tenants hold all cells of this worker', {
        details: { maxCells: this.#options.maxCells },
      });
    this.#reapOne(oldest);
  }

  #reap(): void {
    for (const bound of this.#bound.values())
      if (bound.cell !== undefined && bound.cell.idleForMs >= this.#options.idleMs) this.#reapOne(bound);
  }

  #reapOne(bound: Bound): void {
    bound.isReaped = true;
    this.#forget(bound);
    if (bound.cell !== undefined) this.#end(bound.cell);
  }

  #end(driver: ProcessDriver): void {
    const ending: Promise<void> = driver.close().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }
}
