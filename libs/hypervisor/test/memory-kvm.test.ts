import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  createKvmDriver,
  type DriverVm,
  type HypervisorDriver,
  loadSandbox,
  type Sandbox,
  type SandboxOptions,
} from '../src/index.js';

const GUESTS = new URL('../../../guests/build/', import.meta.url);
const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Memory of this process that it alone has, and has written. */
function privateDirtyBytes(): number {
  const kib = /^Private_Dirty:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))?.[1];
  return Number(kib) * 1024;
}

let driver: HypervisorDriver | undefined;
let skipped = '';
try {
  driver = await createKvmDriver({ slots: 1, spareShells: 0 });
} catch (error) {
  skipped = ` (skipped: ${error instanceof Error ? error.message : String(error)})`;
}
afterAll(() => driver?.close());

/** The VM below each sandbox, for what a test wants to do to it. */
const vms: DriverVm[] = [];

async function start(name: string, options: SandboxOptions = {}): Promise<Sandbox> {
  const real = driver as HypervisorDriver;
  const noting: HypervisorDriver = {
    name: real.name,
    createVm: async (plan) => {
      const vm = await real.createVm(plan);
      vms.push(vm);
      return vm;
    },
    createVmFromSnapshot: (snapshot) => real.createVmFromSnapshot(snapshot),
    close: () => real.close(),
  };
  const sandbox = await (
    await loadSandbox(noting, readFileSync(new URL(`${name}.elf`, GUESTS)), options)
  ).evolve();
  onTestFinished(() => sandbox.close());
  return sandbox;
}

const text = (value: string) => [{ type: 'string', value }] as const;

describe.skipIf(!driver)(`memory of a guest on KVM${skipped}`, () => {
  test('is as large as configured, up to 1 GiB, and a call pays only for what it touches', async () => {
    // What is left for page tables, code, PEB, buffers and stack.
    const heapBytes = GIB - (64 << 20);
    const sandbox = await start('echo', { memory: { heapBytes } });
    expect(sandbox.memoryBytes).toBeGreaterThan(heapBytes);
    expect(sandbox.memoryBytes).toBeLessThanOrEqual(GIB);
    for (let round = 0; round < 3; round++) {
      const report = await sandbox.invoke('EchoString', text('hello'), 'string');
      expect(report).toMatchObject({ outcome: 'succeeded', value: { value: 'hello' } });
      expect(report.dirtyPages).toBeLessThan(32);
    }
  });

  test('of a version is there once: another sandbox of it holds what it dirtied', async () => {
    const initData = { bytes: new Uint8Array(64 * MIB).fill(0xa5) };
    const first = await start('echo', { initData });
    const snapshot = await first.snapshot();
    onTestFinished(() => snapshot.close());
    const before = privateDirtyBytes();
    const clones: Sandbox[] = [];
    let dirtied = 0;
    for (let i = 0; i < 16; i++) {
      const clone = await snapshot.instantiate();
      onTestFinished(() => clone.close());
      await clone.invoke('EchoString', text('hello'), 'string');
      dirtied += (await clone.invoke('EchoString', text('hello'), 'string')).dirtyPages * 4096;
      clones.push(clone);
    }
    expect(privateDirtyBytes() - before).toBeLessThan(dirtied + clones.length * MIB);
  });

  test('above 1 GiB is refused by name', async () => {
    await expect(start('echo', { memory: { heapBytes: GIB } })).rejects.toMatchObject({
      code: 'MAYFLY_ERR_MEMORY_TOO_BIG',
    });
  });

  test('has a cookie of its own below each stack, which a stray access is judged by', async () => {
    const cookies = new Set<string>();
    for (let round = 0; round < 2; round++) {
      await start('echo');
      const vm = vms.at(-1) as DriverVm;
      const stack = 64 * 1024;
      cookies.add(Buffer.from(vm.read(vm.memoryBytes - stack, 16)).toString('hex'));
    }
    expect(cookies.size).toBe(2);
    expect(cookies).not.toContain('00'.repeat(16));
  });
});
