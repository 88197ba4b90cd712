import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { createProcessDriver, type ProcessDriver } from '@mayfly/hypervisor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { call, DATA, entry, MEMORY_BYTES, makeVm, noKvm } from './guest.js';

const CHECK = fileURLToPath(new URL('../build/mayfly-jail-check', import.meta.url));
const MOST_CALLS = 20;

const lists = spawnSync(CHECK, ['--lists'], { encoding: 'utf8' }).stdout;
const listedCalls = new Set([...lists.matchAll(/^call (\S+)/gm)].map(([, name]) => name));
const listedIoctls = new Set([...lists.matchAll(/^ioctl \S+ (0x\S+)/gm)].map(([, number]) => Number(number)));

/** Why a cell cannot be watched here; undefined where it can. */
const noTrace =
  noKvm ??
  (spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0
    ? undefined
    : 'no strace that may trace');

let folder: string;
let driver: ProcessDriver;

beforeEach(async () => {
  if (noTrace !== undefined) return;
  folder = mkdtempSync(path.join(tmpdir(), 'mayfly-calls-'));
  driver = await createProcessDriver({ slots: 2, spareShells: 2, vms: 8 });
});
afterEach(async () => {
  await driver?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true });
});

describe.skipIf(noTrace !== undefined)(
  `a serving cell under strace${noTrace ? ` (skipped: ${noTrace})` : ''}`,
  () => {
    it('makes only the calls of its list, which is at most 20 long, and asks KVM for nothing else', async () => {
      const file = path.join(folder, 'trace');
      const tracer = await attach(driver.pid, file);
      await serve(driver);
      tracer.kill('SIGINT');
      await once(tracer, 'exit');

      const trace = readFileSync(file, 'utf8');
      const seen = new Set([...trace.matchAll(/^\d+ +(\w+)\(/gm)].map(([, name]) => name));
      expect(listedCalls.size).toBeGreaterThan(0);
      expect(listedCalls.size).toBeLessThanOrEqual(MOST_CALLS);
      expect([...seen].filter((name) => !listedCalls.has(name))).toEqual([]);
      // What it cannot serve without: that the trace saw it at work.
      for (const name of ['futex', 'ioctl', 'write', 'mmap', 'recvmsg', 'memfd_create', 'timer_settime'])
        expect(seen).toContain(name);

      const ioctls = new Set(
        [...trace.matchAll(/ ioctl\(\d+, (0x[0-9a-f]+)/gm)].map(([, number]) => Number(number)),
      );
      expect(ioctls.size).toBeGreaterThan(5);
      expect([...ioctls].filter((number) => !listedIoctls.has(number))).toEqual([]);
    });

    it('goes on when a debugger stops it and lets it go', async () => {
      const vm = await makeVm(driver, 'storeAndHalt');
      for (const signal of ['SIGSTOP', 'SIGCONT'] as const) process.kill(driver.pid, signal);
      expect((await call(vm)).exit.kind).toBe('halt');
      expect(driver.ended).toBeUndefined();
    });
  },
);

/** Traces all threads of a process; resolves once it does. */
async function attach(pid: number, file: string): Promise<ChildProcess> {
  // Numbers as they are: a name of strace's can stand for several.
  const tracer = spawn('strace', ['-f', '-X', 'raw', '-o', file, '-p', String(pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await new Promise<void>((resolve) => {
    // Read to its end: strace dies of a pipe that nobody reads.
    tracer.stderr.on('data', (chunk) => {
      if (String(chunk).includes('attached')) resolve();
    });
  });
  return tracer;
}

/** Everything that a driver is asked for. */
async function serve(driver: ProcessDriver): Promise<void> {
  const vm = await makeVm(driver, 'addOne');
  vm.write(DATA, new Uint8Array(64));
  await call(vm);
  vm.read(DATA, 4096);
  const snapshot = await vm.snapshot();
  for (let i = 0; i < 50; i++) await call(vm, { restore: true });
  await vm.compareWithBase?.();
  const clones = await Promise.all([1, 2, 3].map(() => driver.createVmFromSnapshot(snapshot)));
  await Promise.all(clones.map((clone) => call(clone)));
  await vm.restore(snapshot);
  await vm.primeSnapshot?.({
    entry: entry(),
    untouched: [{ address: DATA, lengthBytes: 0x1000 }],
    deadlineUs: 100_000,
  });
  await Promise.all(clones.map((clone) => clone.close()));

  const spinning = await makeVm(driver, 'spin');
  expect((await call(spinning, { deadlineUs: 5_000 })).exit.kind).toBe('cancelled');
  const killed = spinning.run({ entry: entry(), startsCall: true });
  spinning.interrupt.kill();
  expect((await killed).exit.kind).toBe('cancelled');
  spinning.endCall();

  // A request that does not fit its seat.
  const large = { address: DATA, bytes: new Uint8Array(Math.min(MEMORY_BYTES - DATA, 256 * 1024)) };
  await call(vm, { writes: [large] });
  for (const name of ['logs', 'undefined', 'nullRead', 'input', 'ring0', 'hostCall'] as const) {
    const other = await makeVm(driver, name);
    await call(other);
    await other.close();
  }
  snapshot.close();
  await vm.close();
}
