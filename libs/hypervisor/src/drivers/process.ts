import { availableParallelism } from 'node:os';
import { CELL_LIMITS, CellMessage, cellPlanFile, type JailReport, Op, RequestWriter } from '@mayfly/native';
import type { DriverSnapshot, DriverVm, HypervisorDriver, VmPlan } from '../driver.js';
import { hypervisorError } from '../errors.js';
import { requireWhole, requireWrites } from './native-failure.js';
import { checkPlan } from './plan-check.js';
import { Cell } from './process/cell.js';
import type { Outline } from './process/seat.js';
import { closeSeat, ProcessVm, snapshotOf } from './process/vm.js';

export type { JailReport };

export interface ProcessDriverOptions {
  /** vCPU threads of the cell, and with them calls that run at once. @defaultValue the number of usable cores */
  readonly slots?: number;
  /** VM shells created ahead in the background. @defaultValue 2 */
  readonly spareShells?: number;
  /** VMs at one time. @defaultValue 256 */
  readonly vms?: number;
  /** How long after a deadline or a kill the cell may take to answer, before it is killed itself. @defaultValue 250 */
  readonly graceMs?: number;
  /** Path of `mayfly-cell`. @defaultValue the one that `make -C libs/native` builds */
  readonly executable?: string;
  /** Added to the slots that VMs tell, so that those of several cells differ. @defaultValue 0 */
  readonly firstSlot?: number;
  /** What the cell writes to its log, at most 64 KiB of it: its text, hostile as all that a cell says. */
  readonly onLog?: (text: string) => void;
}

const MAX_SLOTS = CELL_LIMITS.slots;
const MAX_SPARE_SHELLS = 64;
const MAX_GRACE_MS = 60_000;
const MAX_LOADS = 4096;
const CREATE_LIMIT_MS = 0;

type WithDefaults = ProcessDriverOptions &
  Required<Pick<ProcessDriverOptions, 'slots' | 'spareShells' | 'vms' | 'graceMs'>>;

/** A driver whose core runs in a process of its own, for one tenant. */
export class ProcessDriver implements HypervisorDriver {
  readonly name = 'process';
  readonly #cell: Cell;
  readonly #requests = new RequestWriter();
  readonly #firstSlot: number;
  #closed: Promise<void> | undefined;
  #bound = false;

  constructor(options: WithDefaults) {
    this.#firstSlot = options.firstSlot ?? 0;
    this.#cell = new Cell({
      slots: options.slots,
      spareShells: options.spareShells,
      seats: options.vms,
      graceMs: options.graceMs,
      executable: options.executable,
      onLog: options.onLog,
    });
  }

  /**
   * Milliseconds since its last operation ended, or since it was told something: its tenant, say. 0 while an operation
   * is under way.
   */
  get idleForMs(): number {
    return this.#cell.idleForMs;
  }
  /** Of the cell. */
  get pid(): number {
    return this.#cell.pid;
  }
  /** How the cell's jail turned out on this host; undefined until the cell is ready. */
  get jail(): JailReport | undefined {
    return this.#cell.jail;
  }
  /** Why the cell has ended: nothing can be done with this driver any more; undefined while it serves. */
  get ended(): Error | undefined {
    return this.#cell.ended;
  }
  /** Resolves once the cell is gone, whatever ended it. */
  get gone(): Promise<void> {
    return this.#cell.gone;
  }

  /**
   * Waits until the cell can run guests.
   * @throws MAYFLY_ERR_NO_HYPERVISOR, MAYFLY_ERR_CELL_START and the other ends of a cell
   */
  ready(): Promise<void> {
    return this.#cell.ready;
  }

  /** Kills the cell: what is under way in it fails with this error, and what comes later, too. Idempotent. */
  end(error: Error): void {
    this.#cell.end(error);
  }

  /** From here on the cell has its tenant. Once. */
  bind(): void {
    if (this.#bound || this.#cell.ended !== undefined) return;
    this.#bound = true;
    this.#cell.send({ kind: CellMessage.Bind });
  }

  async createVm(plan: VmPlan): Promise<DriverVm> {
    this.#requireOpen();
    if (plan.privilege === 'supervisor')
      throw hypervisorError('MAYFLY_ERR_VM_PLAN', 'privilege: a cell runs guests at CPL 3 only');
    requireWrites(plan.load, 'load', 'MAYFLY_ERR_VM_PLAN');
    checkPlan(plan);
    if (plan.load.length > MAX_LOADS)
      throw hypervisorError('MAYFLY_ERR_VM_PLAN', 'more than 4096 ranges of bytes to load');
    const outline = outlineOf(plan);
    const file = cellPlanFile({ ...plan, watch: outline.watch });
    return await this.#create(outline, (seat, generation) =>
      this.#cell.send({ kind: CellMessage.Create, seat, generation }, undefined, file),
    );
  }

  async createVmFromSnapshot(snapshot: DriverSnapshot): Promise<DriverVm> {
    this.#requireOpen();
    const { id, outline } = snapshotOf(this.#cell, snapshot);
    return await this.#create(outline, (seat, generation) =>
      this.#cell.send({ kind: CellMessage.CreateFromSnapshot, seat, generation, snapshot: id }),
    );
  }

  close(): Promise<void> {
    if (this.#closed === undefined) {
      this.#cell.end(hypervisorError('MAYFLY_ERR_DRIVER_CLOSED', 'the driver is closed'));
      this.#closed = this.#cell.gone;
    }
    return this.#closed;
  }

  async #create(outline: Outline, send: (seat: number, generation: number) => void): Promise<DriverVm> {
    const cell = this.#cell;
    const seat = cell.takeSeat(outline);
    try {
      seat.slot = await cell.post(seat, {
        op: Op.Create,
        limitMs: CREATE_LIMIT_MS,
        send: (generation) => send(seat.index, generation),
        read: (completion) => cell.slotOf(completion),
      });
    } catch (error) {
      await closeSeat(cell, seat);
      throw error;
    }
    return new ProcessVm(cell, seat, this.#requests, this.#firstSlot);
  }

  #requireOpen(): void {
    if (this.#cell.ended !== undefined) throw this.#cell.ended;
  }
}

function outlineOf({ memoryBytes, outputBuffer, watch = [], ring0, regions }: VmPlan): Outline {
  for (const number of [outputBuffer?.address ?? 0, outputBuffer?.lengthBytes ?? 0])
    requireWhole(number, 'a number of the output buffer', memoryBytes, 'MAYFLY_ERR_VM_PLAN');
  if (ring0 !== undefined)
    requireWhole(ring0.pageTablesBytes, 'pageTablesBytes', 2 ** 30, 'MAYFLY_ERR_VM_PLAN', 1);
  if (regions.length > 1024) throw hypervisorError('MAYFLY_ERR_VM_PLAN', 'more than 1024 regions');
  let left: number = CELL_LIMITS.watchedBytes;
  const kept = watch.slice(0, CELL_LIMITS.watched).filter(({ address, lengthBytes }) => {
    requireWhole(address, 'a watched address', memoryBytes, 'MAYFLY_ERR_VM_PLAN');
    requireWhole(lengthBytes, 'a watched length', memoryBytes - address, 'MAYFLY_ERR_VM_PLAN');
    if (lengthBytes > left) return false;
    left -= lengthBytes;
    return true;
  });
  const output = outputBuffer !== undefined && outputBuffer.lengthBytes >= 8 ? outputBuffer : undefined;
  return { memoryBytes, watch: kept, output };
}

/** Spawns a cell that no tenant has yet. @throws as `createProcessDriver`, but for what shows in `ready`. */
export function spawnCell(options: ProcessDriverOptions = {}): ProcessDriver {
  const slots = options.slots ?? Math.max(1, availableParallelism());
  const { spareShells = 2, vms = 256, graceMs = 250 } = options;
  requireWhole(slots, 'slots', MAX_SLOTS, 'MAYFLY_ERR_VM_REQUEST', 1);
  requireWhole(spareShells, 'spareShells', MAX_SPARE_SHELLS, 'MAYFLY_ERR_VM_REQUEST');
  requireWhole(vms, 'vms', CELL_LIMITS.seats, 'MAYFLY_ERR_VM_REQUEST', 1);
  requireWhole(graceMs, 'graceMs', MAX_GRACE_MS, 'MAYFLY_ERR_VM_REQUEST', 1);
  return new ProcessDriver({ ...options, slots, spareShells, vms, graceMs });
}

/**
 * A driver over KVM of this host in a process of its own, `mayfly-cell`, which serves nobody else.
 * @throws MAYFLY_ERR_NO_HYPERVISOR with the reason, MAYFLY_ERR_CELL_START when the process does not start,
 * MAYFLY_ERR_VM_REQUEST for an option out of its range.
 */
export async function createProcessDriver(options: ProcessDriverOptions = {}): Promise<ProcessDriver> {
  const driver = spawnCell(options);
  try {
    await driver.ready();
  } catch (error) {
    await driver.gone;
    throw error;
  }
  driver.bind();
  return driver;
}
