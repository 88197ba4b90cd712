import { createKvmDriver, spawnCell } from '@mayfly/hypervisor';
import type { WorkerConfig } from '../config.js';
import type { Logger } from '../worker.js';
import { CellDrivers } from './cell-drivers.js';
import { missingLayers, requireJail } from './jail-policy.js';
import { type TenantDrivers, ThreadDrivers } from './tenant-drivers.js';

/** Sandboxes that are being closed, beyond those that the pool counts. */
const SPARE_VMS = 64;
const MOST_VMS = 4096;

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
      return spawnCell({ slots, spareShells, vms, firstSlot, onLog });
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
