import type { FunctionRef } from '@mayfly/contracts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cellsOf, cpuTicks, isAlive, runs, until } from '../helpers/cells.js';
import { kvmWorks } from '../helpers/mayfly.js';
import { callOf, WorkerHost, type WorkerProcess } from './worker-host.js';

/** Some seconds of a core: longer than it takes to see it run and to kill its cell. */
const LONG_WORK_STEPS = 3_000_000_000;
const MOST_MS = 30_000;

let host: WorkerHost;

beforeEach(async () => {
  host = await WorkerHost.start();
});
afterEach(() => host?.stop());

/** Without spare cells, so that each cell of the worker but the first has a tenant. */
const startWorker = (env: Record<string, string> = {}) =>
  host.startWorker('w1', {
    MAYFLY_ISOLATION: 'process',
    MAYFLY_WORKER_SPARE_CELLS: '0',
    MAYFLY_WORKER_SLOTS: '2',
    ...env,
  });

const spin = (timeoutMs: number) => callOf('Spin', [], 'void', { timeoutMs });
const work = (steps: number) =>
  callOf('Work', [{ type: 'uint', value: steps }], 'uint', { timeoutMs: MOST_MS });

/** The cell that a tenant gets with its first call. */
async function cellOf(worker: WorkerProcess, guest: FunctionRef, others: readonly number[]): Promise<number> {
  expect((await host.call(guest, work(1))).outcome).toBe('succeeded');
  const cells = cellsOf(worker.pid).filter((cell) => !others.includes(cell));
  expect(cells).toHaveLength(1);
  return cells[0] as number;
}

describe.skipIf(!kvmWorks)('calls whose cell is killed (skipped where /dev/kvm cannot be opened)', () => {
  test('a sync one is told once that the host failed, and on record as such', async () => {
    const worker = await startWorker();
    const guest = await host.publish('spin');
    const cell = await cellOf(worker, guest, []);
    const before = cpuTicks(cell);
    const [call] = await host.add('sync', guest, [spin(MOST_MS)]);
    await runs(cell, before);
    process.kill(cell, 'SIGKILL');
    const record = await host.recorded(call?.invocationId ?? '');
    expect(record).toMatchObject({
      outcome: 'host-fault',
      attempt: 1,
      detail: { message: expect.stringContaining('MAYFLY_ERR_CELL_DIED') },
    });
    expect((await host.call(guest, work(1))).outcome).toBe('succeeded');
    const replies = await host.replies.received(3);
    const told = replies.filter(({ token }) => token === call?.replyToken);
    expect(told).toMatchObject([{ record }]);
  });

  test('an async one runs again in another cell, and succeeds', async () => {
    const worker = await startWorker();
    const guest = await host.publish('spin');
    const cell = await cellOf(worker, guest, []);
    const before = cpuTicks(cell);
    const [call] = await host.add('async', guest, [work(LONG_WORK_STEPS)]);
    await runs(cell, before);
    process.kill(cell, 'SIGKILL');
    expect(await host.recorded(call?.invocationId ?? '')).toMatchObject({ outcome: 'succeeded', attempt: 2 });
    expect(worker.output()).toContain('MAYFLY_ERR_CELL_DIED');
    expect(cellsOf(worker.pid)).not.toContain(cell);
  }, 120_000);

  test('a running call of another tenant goes on to its own end, in its own cell', async () => {
    const worker = await startWorker();
    const ours = await host.publish('spin');
    const theirs = await host.publish('spin', { tenant: 'globex' });
    const ourCell = await cellOf(worker, ours, []);
    const theirCell = await cellOf(worker, theirs, [ourCell]);
    const [ourTicks, theirTicks] = [cpuTicks(ourCell), cpuTicks(theirCell)];
    const [ourCall] = await host.add('sync', ours, [spin(MOST_MS)]);
    const [theirCall] = await host.add('sync', theirs, [work(LONG_WORK_STEPS)]);
    await Promise.all([runs(ourCell, ourTicks), runs(theirCell, theirTicks)]);
    process.kill(ourCell, 'SIGKILL');
    expect((await host.recorded(ourCall?.invocationId ?? '')).outcome).toBe('host-fault');

    await runs(theirCell, cpuTicks(theirCell));
    expect(await host.record(theirCall?.invocationId ?? '', 'globex')).toBeUndefined();
    expect(await host.recorded(theirCall?.invocationId ?? '', 'globex')).toMatchObject({
      outcome: 'succeeded',
      attempt: 1,
    });
    // Neither their image nor their sandbox was made anew.
    expect(await host.call(theirs, work(1))).toMatchObject({
      outcome: 'succeeded',
      usage: { source: 'warm' },
    });
    expect(isAlive(theirCell)).toBe(true);
  });

  test('a cell that stands still is killed after the deadline of its call, which the host failed', async () => {
    const worker = await startWorker();
    const guest = await host.publish('spin');
    const cell = await cellOf(worker, guest, []);
    const before = cpuTicks(cell);
    const [call] = await host.add('sync', guest, [spin(1_000)]);
    await runs(cell, before);
    process.kill(cell, 'SIGSTOP');
    expect(await host.recorded(call?.invocationId ?? '')).toMatchObject({
      outcome: 'host-fault',
      detail: { message: expect.stringContaining('MAYFLY_ERR_CELL_HUNG') },
    });
    await until(() => !isAlive(cell));
    expect((await host.call(guest, work(1))).outcome).toBe('succeeded');
  });
});

describe.skipIf(!kvmWorks)('how long a cell lives (skipped where /dev/kvm cannot be opened)', () => {
  test('it is ended when it did nothing for its time, never during a call, and the next call gets another one', async () => {
    const worker = await startWorker({ MAYFLY_WORKER_CELL_IDLE_MS: '1000' });
    const guest = await host.publish('spin');
    const cell = await cellOf(worker, guest, []);
    expect((await host.call(guest, spin(3_000))).outcome).toBe('timeout');
    await until(() => worker.output().includes('an idle cell was ended'));
    await until(() => !isAlive(cell));
    expect(worker.output()).not.toContain('MAYFLY_ERR_CELL');
    expect(await host.call(guest, work(1))).toMatchObject({
      outcome: 'succeeded',
      usage: { source: 'boot' },
    });
    expect(cellsOf(worker.pid)).not.toContain(cell);
  });

  test('it makes room for another tenant once it is idle, and never while it has a call', async () => {
    const worker = await startWorker({ MAYFLY_WORKER_MAX_CELLS: '1' });
    const ours = await host.publish('spin');
    const theirs = await host.publish('spin', { tenant: 'globex' });
    const ourCell = await cellOf(worker, ours, []);
    const before = cpuTicks(ourCell);
    const [call] = await host.add('sync', ours, [spin(3_000)]);
    await runs(ourCell, before);
    expect(await host.call(theirs, work(1))).toMatchObject({
      outcome: 'host-fault',
      detail: { message: expect.stringContaining('MAYFLY_ERR_POOL_FULL') },
    });
    expect((await host.recorded(call?.invocationId ?? '')).outcome).toBe('timeout');

    while ((await host.call(theirs, work(1))).outcome !== 'succeeded') expect(isAlive(ourCell)).toBe(true);
    await until(() => !isAlive(ourCell));
    expect(worker.output()).not.toContain('MAYFLY_ERR_CELL');
    const [theirCell, ...more] = cellsOf(worker.pid);
    expect(more).toEqual([]);
    await until(() => worker.output().includes('an idle cell was ended'));
    while ((await host.call(ours, work(1))).outcome !== 'succeeded')
      expect(isAlive(theirCell ?? 0)).toBe(true);
  });

  test('one that dies before it has a tenant is replaced, and no call fails', async () => {
    const worker = await startWorker();
    const [blank = 0] = cellsOf(worker.pid);
    process.kill(blank, 'SIGKILL');
    await until(() => !isAlive(blank));
    expect(await cellOf(worker, await host.publish('spin'), [])).not.toBe(blank);
  });

  test('those of a worker that is told to end, with a tenant or without, are gone before it is', async () => {
    const worker = await startWorker({ MAYFLY_WORKER_SPARE_CELLS: '1' });
    await host.call(await host.publish('spin'), work(1));
    const cells = cellsOf(worker.pid);
    expect(cells.length).toBeGreaterThan(0);
    worker.child.kill('SIGTERM');
    expect(await worker.ended()).toEqual({ code: 0, signal: null });
    expect(cells.filter(isAlive)).toEqual([]);
  });
});
