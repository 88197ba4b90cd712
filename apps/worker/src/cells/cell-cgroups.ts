import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface CellLimits {
  readonly memoryBytes: number;
  /** Threads, and a kernel task a VM. */
  readonly tasks: number;
  /** Cores' worth of CPU time. */
  readonly cores: number;
}

const PERIOD_US = 100_000;

/**
 * A cgroup (version 2) for each cell, below one that the operator has delegated to the worker. What bounds a cell whose
 * core was taken over: an honest one bounds its guests itself.
 */
export class CellCgroups {
  /** What the delegated group cannot limit, by controller. */
  readonly missing: readonly string[];
  readonly #folder: string;
  readonly #settings: readonly (readonly [controller: string, file: string, value: string])[];

  constructor(folder: string, { memoryBytes, tasks, cores }: CellLimits) {
    this.#folder = folder;
    const settings = [
      ['memory', 'memory.max', String(memoryBytes)],
      ['pids', 'pids.max', String(tasks)],
      ['cpu', 'cpu.max', `${cores * PERIOD_US} ${PERIOD_US}`],
    ] as const;
    const refused = ['memory', 'cpu', 'pids'].filter(
      (controller) => !attempt(() => writeFileSync(join(folder, 'cgroup.subtree_control'), `+${controller}`)),
    );
    this.missing = refused;
    this.#settings = settings.filter(([controller]) => !refused.includes(controller));
  }

  /** Moves a process that has no tenant yet into a group of its own. @returns whether it is there, with its limits */
  adopt(pid: number): boolean {
    const group = this.#groupOf(pid);
    const isIn = attempt(() => {
      mkdirSync(group);
      for (const [, file, value] of this.#settings) writeFileSync(join(group, file), value);
      // A kernel without swap accounting has no such file.
      attempt(() => writeFileSync(join(group, 'memory.swap.max'), '0'));
      writeFileSync(join(group, 'cgroup.procs'), String(pid));
    });
    if (!isIn) this.remove(pid);
    return isIn;
  }

  /** Once the process is gone. */
  remove(pid: number): void {
    attempt(() => rmdirSync(this.#groupOf(pid)));
  }

  #groupOf(pid: number): string {
    return join(this.#folder, `mayfly-cell-${pid}`);
  }
}

function attempt(action: () => void): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}
