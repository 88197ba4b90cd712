import { readdirSync, readFileSync } from 'node:fs';

const POLL_MS = 5;
/** Of CPU time: a call of it runs in the cell, and is not merely on its way there. */
const RUNNING_TICKS = 3;

/** The cells of a worker, with a tenant or without. */
export function cellsOf(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    (read(`/proc/${pid}/task/${task}/children`) ?? '').split(' ').filter(Boolean).map(Number),
  );
  return children.filter((child) => read(`/proc/${child}/comm`)?.trim() === 'mayfly-cell');
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** What the cell has used of a CPU, in ticks of the kernel's accounting. */
export function cpuTicks(pid: number): number {
  // The name, which is in brackets, comes second; user and system time are the 14th and 15th.
  const fields = (read(`/proc/${pid}/stat`) ?? '').split(') ')[1]?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

/** Resolves once the cell has worked since it had used `sinceTicks`. */
export function runs(pid: number, sinceTicks: number): Promise<void> {
  return until(() => cpuTicks(pid) >= sinceTicks + RUNNING_TICKS);
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
}

/** Undefined: what it is about has ended. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
