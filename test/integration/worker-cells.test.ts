import { keys } from '@mayfly/contracts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { cellsOf, isAlive, until } from '../helpers/cells.js';
import { kvmWorks } from '../helpers/mayfly.js';
import { callOf, WorkerHost } from './worker-host.js';

let host: WorkerHost;

beforeEach(async () => {
  host = await WorkerHost.start();
});
afterEach(() => host?.stop());

const hello = () => callOf('Hello', [{ type: 'string', value: 'a' }], 'string');
describe.skipIf(!kvmWorks)('isolation of a worker (skipped where /dev/kvm cannot be opened)', () => {
  test('by process: after its cell died a tenant is served by another one, and the worker says so', async () => {
    const worker = await host.startWorker('w1', { MAYFLY_ISOLATION: 'process' });
    const guest = await host.publish('hello');
    expect((await host.call(guest, hello())).outcome).toBe('succeeded');
    for (const cell of cellsOf(worker.pid)) process.kill(cell, 'SIGKILL');
    await until(() => worker.output().includes('a cell has ended'));
    expect(worker.output()).toContain('MAYFLY_ERR_CELL_DIED');
    expect((await host.call(guest, hello())).outcome).toBe('succeeded');
  });

  test('by process: cells end with a worker that is killed', async () => {
    const worker = await host.startWorker('w1', { MAYFLY_ISOLATION: 'process' });
    const cells = cellsOf(worker.pid);
    expect(cells.length).toBeGreaterThan(0);
    worker.child.kill('SIGKILL');
    await worker.ended();
    await until(() => !cells.some(isAlive));
  });

  test('by thread: another tenant is refused by name', async () => {
    const worker = await host.startWorker('w1', { MAYFLY_ISOLATION: 'thread', MAYFLY_TENANT: 'another' });
    const record = await host.call(await host.publish('hello'), hello());
    expect(record.outcome).toBe('host-fault');
    expect(worker.output()).toContain('MAYFLY_ERR_ISOLATION');
  });

  test('is in the record of the worker, beside the kind of KVM', async () => {
    await host.startWorker('w1', { MAYFLY_ISOLATION: 'process' });
    const record = await host.redis.hgetall(keys.worker('w1'));
    expect(record).toMatchObject({
      isolation: 'process',
      kvm: expect.stringMatching(/^(hardware|software)$/),
    });
  });
});
