import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { kvmWorks } from '../helpers/mayfly.js';
import { callOf, WorkerHost } from './worker-host.js';

/** Where this host has a cgroup file system of version 2, and we may make groups. */
const mount = /^\S+ (\S+) cgroup2 \S*rw/m.exec(readFileSync('/proc/mounts', 'utf8'))?.[1];
const parent = (() => {
  if (mount === undefined) return undefined;
  try {
    const folder = mkdtempSync(path.join(mount, 'mayfly-test-'));
    rmdirSync(folder);
    return mount;
  } catch {
    return undefined;
  }
})();
const runs = kvmWorks && parent !== undefined;

let host: WorkerHost;
let folder: string;

beforeEach(async () => {
  if (!runs) return;
  host = await WorkerHost.start();
  folder = path.join(parent ?? '', `mayfly-test-${process.pid}`);
  mkdirSync(folder);
});
afterEach(async () => {
  await host?.stop();
  if (folder !== undefined) rmdirSync(folder);
});

describe.skipIf(!runs)('a delegated cgroup (skipped without /dev/kvm or a writable cgroup2)', () => {
  test('has a group for each cell, with its limits where the controller is there, and none after it', async () => {
    const hello = await host.publish('hello');
    const worker = await host.startWorker('w1', {
      MAYFLY_ISOLATION: 'process',
      MAYFLY_WORKER_SPARE_CELLS: '0',
      MAYFLY_WORKER_CELL_CGROUP: folder,
    });
    const record = await host.call(hello, callOf('Hello', [{ type: 'string', value: 'a' }], 'string'));
    expect(record.outcome).toBe('succeeded');
    const controllers = readFileSync(path.join(folder, 'cgroup.subtree_control'), 'utf8').split(/\s+/);
    const children = readFileSync(`/proc/${worker.pid}/task/${worker.pid}/children`, 'utf8')
      .trim()
      .split(' ');
    const cells = children.filter((pid) =>
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('mayfly-cell'),
    );
    expect(cells.length).toBeGreaterThan(0);
    const groups = cells.map((pid) => path.join(folder, `mayfly-cell-${pid}`));
    for (const [index, group] of groups.entries()) {
      expect(readFileSync(path.join(group, 'cgroup.procs'), 'utf8').trim()).toBe(cells[index]);
      if (controllers.includes('pids'))
        expect(Number(readFileSync(path.join(group, 'pids.max'), 'utf8'))).toBeGreaterThan(64);
    }
    const missing = ['memory', 'cpu', 'pids'].filter((name) => !controllers.includes(name));
    if (missing.length > 0) expect(worker.output()).toContain(`"missing":${JSON.stringify(missing)}`);
    worker.child.kill('SIGTERM');
    await worker.ended();
    for (const group of groups) expect(existsSync(group)).toBe(false);
  });
});
