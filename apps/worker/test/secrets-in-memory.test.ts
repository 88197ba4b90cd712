import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { DEFAULT_MEMORY, type FunctionRef } from '@mayfly/contracts';
import {
  createKvmDriver,
  createProcessDriver,
  type DriverVm,
  type HypervisorDriver,
} from '@mayfly/hypervisor';
import { describe, expect, onTestFinished, test } from 'vitest';
import { kvmWorks, root } from '../../../test/helpers/mayfly.js';
import { hostFunctions } from '../src/host/host-functions.js';
import { HypervisorImageBuilder } from '../src/image-builder.js';
import type { GuestSandbox } from '../src/pool/guest-image.js';

const PLAIN = Buffer.from(`pw-${randomBytes(24).toString('hex')}`);

const ref: FunctionRef = {
  tenant: 'acme',
  name: 'settings',
  version: 1,
  artifactSha256: 'a'.repeat(64),
  artifactBytes: 1,
  memory: DEFAULT_MEMORY,
};

describe.skipIf(!kvmWorks)('a secret in guest memory (skipped where /dev/kvm cannot be opened)', () => {
  test.each([
    ['threads', createKvmDriver],
    ['a cell', createProcessDriver],
  ] as const)('is there while its call runs, and gone with the next restore, in %s', async (_, create) => {
    const driver = await create({ slots: 1, spareShells: 0 });
    onTestFinished(() => driver.close());
    const vms: DriverVm[] = [];
    const { image, sandbox } = await build(driver, vms);
    const holders = () => vms.filter((vm) => holds(vm)).length;

    expect(await invoke(sandbox, 'Keep', { password: 1 })).toBe(PLAIN.byteLength);
    expect(holders()).toBe(1);
    expect(await invoke(sandbox, 'Nothing', {})).toBe(0);
    expect(holders()).toBe(0);

    // What another sandbox starts from never held it, also while the first one does.
    await invoke(sandbox, 'Keep', { password: 1 });
    const another = await image.instantiate();
    expect(vms).toHaveLength(2);
    expect(holders()).toBe(1);
    expect(await invoke(another, 'Nothing', {})).toBe(0);
    expect(holders()).toBe(1);
    await another.close();
    await sandbox.close();
  });
});

/** The settings guest, and each VM that is made for it. */
async function build(driver: HypervisorDriver, vms: DriverVm[]) {
  const kept = async (making: Promise<DriverVm>) => {
    const vm = await making;
    vms.push(vm);
    return vm;
  };
  const watched: HypervisorDriver = {
    name: driver.name,
    createVm: (plan) => kept(driver.createVm(plan)),
    createVmFromSnapshot: (snapshot) => kept(driver.createVmFromSnapshot(snapshot)),
    close: () => driver.close(),
  };
  const builder = new HypervisorImageBuilder({
    drivers: { driverOf: async () => watched },
    blobs: { get: () => readFile(path.join(root, 'guests/build/settings.elf')) },
    initTimeoutMs: 5_000,
    hostFunctions: hostFunctions({ read: () => Buffer.from(PLAIN) }),
  });
  const built = await builder.build(ref);
  if (!built.ok) throw new Error(built.failure.detail.message);
  return built;
}

async function invoke(sandbox: GuestSandbox, entrypoint: string, secrets: Record<string, number>) {
  const args = entrypoint === 'Keep' ? [{ type: 'string', value: 'password' } as const] : [];
  const report = await sandbox.invoke(entrypoint, args, 'int', {
    timeoutMs: 5_000,
    signal: new AbortController().signal,
    context: { ...ref, function: ref.name, attempt: 1, invocationId: `inv_${'0'.repeat(32)}`, secrets },
    trace: false,
  });
  expect(report.outcome, report.detail?.message).toBe('succeeded');
  return report.value?.type === 'int' ? report.value.value : undefined;
}

/** Whether any byte of the VM's memory belongs to the secret. */
function holds(vm: DriverVm): boolean {
  return Buffer.from(vm.read(0, vm.memoryBytes)).includes(PLAIN);
}
