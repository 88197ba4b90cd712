import { readFile } from 'node:fs/promises';
import path from 'node:path';
import {
  createKvmDriver,
  createProcessDriver,
  type HypervisorDriver,
  loadSandbox,
  type Sandbox,
} from '@mayfly/hypervisor';
import { type BenchContext, type Benchmark, type Row, row } from '../row.js';

const ROUNDS = 40;
const CALLS = 100;
const WARM_CALLS = 2_000;
const SPAWNS = 20;
const TIMEOUT_MS = 1_000;
const PARKED = 50;

const ARGS = [{ type: 'string', value: 'hello world' }] as const;

async function call(sandbox: Sandbox): Promise<void> {
  const report = await sandbox.invoke('EchoString', ARGS, 'string', { timeoutMs: TIMEOUT_MS });
  if (report.outcome !== 'succeeded') throw new TypeError(`echo ended in ${report.outcome}`);
}

async function echoOn(context: BenchContext, driver: HypervisorDriver): Promise<Sandbox> {
  const elf = await readFile(path.join(context.root, 'guests/build/echo.elf'));
  return await (await loadSandbox(driver, elf)).evolve();
}

async function durationsUs(count: number, work: () => Promise<void>): Promise<number[]> {
  const durations: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const started = process.hrtime.bigint();
    await work();
    durations.push(Number(process.hrtime.bigint() - started) / 1000);
  }
  return durations;
}

/** A warm call as the event loop sees it: through a process of its own ÷ through a thread, in turns. */
export const cellOverhead: Benchmark = {
  rows: ['cell-overhead'],
  async run(context): Promise<Row[]> {
    const drivers = [await createProcessDriver({ slots: 1 }), await createKvmDriver({ slots: 1 })];
    try {
      const [cell, thread] = (await Promise.all(drivers.map((driver) => echoOn(context, driver)))) as [
        Sandbox,
        Sandbox,
      ];
      const samples: { cell: number[]; thread: number[] } = { cell: [], thread: [] };
      for (const sandbox of [cell, thread]) await durationsUs(WARM_CALLS, () => call(sandbox));
      for (let round = 0; round < ROUNDS; round += 1) {
        samples.cell.push(...(await durationsUs(CALLS, () => call(cell))));
        samples.thread.push(...(await durationsUs(CALLS, () => call(thread))));
      }
      return [row('cell-overhead', 'us', samples.cell, samples.thread)];
    } finally {
      await Promise.all(drivers.map((driver) => driver.close()));
    }
  },
};

/** Spawn to ready, with its jail; beside it a driver on threads. */
export const cellSpawn: Benchmark = {
  rows: ['cell-spawn'],
  async run(): Promise<Row[]> {
    const lifetimes = async (create: () => Promise<HypervisorDriver>) => {
      const samples: number[] = [];
      for (let i = 0; i < SPAWNS; i += 1) {
        let driver: HypervisorDriver | undefined;
        samples.push(
          ...(await durationsUs(1, async () => {
            driver = await create();
          })),
        );
        await driver?.close();
      }
      return samples;
    };
    const cells = await lifetimes(() => createProcessDriver({ slots: 1, spareShells: 0 }));
    const threads = await lifetimes(() => createKvmDriver({ slots: 1, spareShells: 0 }));
    return [row('cell-spawn', 'us', cells, threads)];
  },
};

/** Memory of a cell by smaps_rollup (Pss), KiB: one with parked sandboxes, beside a blank one. Without kernel memory. */
export const parkedCell: Benchmark = {
  rows: ['parked-cell'],
  async run(context): Promise<Row[]> {
    const [parked, blank] = [
      await createProcessDriver({ slots: 1 }),
      await createProcessDriver({ slots: 1 }),
    ];
    try {
      const first = await echoOn(context, parked);
      const snapshot = await first.snapshot();
      const sandboxes = [first];
      while (sandboxes.length < PARKED) sandboxes.push(await snapshot.instantiate());
      for (const sandbox of sandboxes) await call(sandbox);
      return [row('parked-cell', 'KiB', [await pssKib(parked.pid)], [await pssKib(blank.pid)])];
    } finally {
      await Promise.all([parked.close(), blank.close()]);
    }
  },
};

async function pssKib(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss: +(\d+) kB/m.exec(text)?.[1]);
}
