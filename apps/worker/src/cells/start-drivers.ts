import { createKvmDriver, type ProcessDriver, spawnCell } from '@mayfly/hypervisor';
import type { WorkerConfig } from '../config.js';
import type { Logger } from '../worker.js';
import { CellCgroups } from './cell-cgroups.js';
import { CellDrivers } from './cell-drivers.js';
import { missingLayers, requireJail } from './jail-policy.js';
import { type TenantDrivers, ThreadDrivers } from './tenant-drivers.js';

/** Sandboxes that are being closed, beyond those that the pool counts. */
const SPARE_VMS = 64;
const MOST_VMS = 4096;
/** Of a cell, beside guest memory: its core, page tables, what KVM keeps of its VMs. */
const CELL_OVERHEAD_BYTES = 512 * 1024 * 1024;
/** Threads of a cell that are no slots, and VMs made ahead. */
const SPARE_TASKS = 128;

/**
 * What the configuration asks for, shown to work.
 * @param onGone images may have ended
 * @throws MAYFLY_ERR_NO_HYPERVISOR, MAYFLY_ERR_CELL_START, MAYFLY_ERR_JAIL_INCOMPLETE
 */
export async function startDrivers(
  config: WorkerConfig,
  logger: Logger,
  onGone: () => void,
): Promise<TenantDrivers> {
  const { isolation, slots, spareShells, tenant, spareCells, maxCells, cellIdleMs } = config;
  if (isolation === 'thread') {
    logger.warn({ tenant }, 'guests run on threads of this process: one bug of its core is enough');
    return new ThreadDrivers(await createKvmDriver({ slots, spareShells }), tenant);
  }
  const vms = Math.min(MOST_VMS, config.maxSandboxes + SPARE_VMS);
  const cgroups = startCgroups(config, vms, logger);
  let cells = 0;
  const drivers = new CellDrivers({
    spareCells,
    maxCells,
    idleMs: cellIdleMs,
    requireJail: (report) => requireJail(report, config.allowIncompleteJail === 'yes'),
    spawn: () => {
      const firstSlot = slots * cells;
      cells += 1;
      const onLog = (text: string) => logger.warn({ text }, 'a cell says');
      const cell = spawnCell({ slots, spareShells, vms, firstSlot, onLog });
      if (cgroups !== undefined) confine(cell, cgroups, logger);
      return cell;
    },
    onEnd: (ofTenant, error) => {
      if (error === undefined) logger.info({ tenant: ofTenant }, 'an idle cell was ended');
      else logger.error({ err: error, tenant: ofTenant }, 'a cell has ended');
      onGone();
    },
  });
  try {
    const report = await drivers.start();
    const missing = missingLayers(report);
    if (missing === '') logger.info({ layers: report.inPlace }, 'cells are jailed');
    else
      logger.warn({ missing, layers: report.inPlace }, 'this host does not allow all of the jail of cells');
  } catch (error) {
    await drivers.close();
    throw error;
  }
  return drivers;
}

function startCgroups(config: WorkerConfig, vms: number, logger: Logger): CellCgroups | undefined {
  if (config.cellCgroup === '') return undefined;
  const cgroups = new CellCgroups(config.cellCgroup, {
    memoryBytes: config.maxMemoryBytes + CELL_OVERHEAD_BYTES,
    tasks: config.slots + vms + SPARE_TASKS,
    cores: config.slots,
  });
  if (cgroups.missing.length > 0)
    logger.warn({ missing: cgroups.missing }, 'MAYFLY_WORKER_CELL_CGROUP does not have all controllers');
  return cgroups;
}

function confine(cell: ProcessDriver, cgroups: CellCgroups, logger: Logger): void {
  const { pid } = cell;
  if (!cgroups.adopt(pid)) logger.warn({ pid }, 'a cell has no cgroup of its own');
  cell.gone.then(() => cgroups.remove(pid));
}
