import { spawnSync } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { kvmWorks } from '../helpers/mayfly.js';
import { callOf, WorkerHost } from './worker-host.js';

/** A host that allows no namespace of these kinds: its root is one of a user namespace with limits of its own. */
const without = (...kinds: string[]) => [
  'unshare',
  '--user',
  '--map-root-user',
  'sh',
  '-c',
  `${kinds.map((kind) => `echo 0 > /proc/sys/user/max_${kind}_namespaces`).join(' && ')} && exec "$@"`,
  'sh',
];
const runs = kvmWorks && spawnSync('unshare', ['--user', '--map-root-user', 'true']).status === 0;

let host: WorkerHost;

beforeEach(async () => {
  host = await WorkerHost.start();
});
afterEach(() => host?.stop());

describe.skipIf(!runs)('a worker of cells (skipped without /dev/kvm or user namespaces)', () => {
  test('says at its start that its cells are jailed, and by what', async () => {
    const worker = await host.startWorker('w1', { MAYFLY_ISOLATION: 'process' });
    expect(worker.output()).toMatch(/"layers":\[[^\]]*"net-namespace"[^\]]*"seccomp"/);
  });

  test('does not start where the host forbids what separates tenants, and names it', async () => {
    const worker = host.spawnWorker({ MAYFLY_ISOLATION: 'process' }, without('net', 'ipc'));
    expect((await worker.ended()).code).toBe(1);
    expect(worker.output()).toContain('MAYFLY_ERR_JAIL_INCOMPLETE');
    expect(worker.output()).toContain('net-namespace (ENOSPC)');
    expect(worker.output()).toContain('MAYFLY_WORKER_ALLOW_INCOMPLETE_JAIL=yes');
  });

  test('starts where only a layer is missing that tenants are not separated by, and names it', async () => {
    const worker = host.spawnWorker({ MAYFLY_ISOLATION: 'process', MAYFLY_WORKER_ID: 'w1' }, without('uts'));
    while (!worker.output().includes('taking calls') && worker.child.exitCode === null)
      await new Promise((resolve) => setTimeout(resolve, 5));
    expect(worker.output()).toContain('uts-namespace (ENOSPC)');
    expect(worker.child.exitCode).toBeNull();
  });

  test('serves all the same when it is told to in so many words', async () => {
    const hello = await host.publish('hello');
    const worker = host.spawnWorker(
      { MAYFLY_ISOLATION: 'process', MAYFLY_WORKER_ALLOW_INCOMPLETE_JAIL: 'yes' },
      without('net'),
    );
    const record = await host.call(hello, callOf('Hello', [{ type: 'string', value: 'a' }], 'string'));
    expect(record.outcome).toBe('succeeded');
    expect(worker.output()).toContain('net-namespace (ENOSPC)');
  });
});
