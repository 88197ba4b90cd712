import { describe, expect, onTestFinished, test } from 'vitest';
import {
  createKvmDriver,
  type DriverVm,
  Hypervisor,
  type HypervisorDriver,
  initialSpecialRegisters,
  type LogLevel,
  layoutMemory,
  Rights,
  resetFpuState,
  type VmPlan,
} from '../src/index.js';
import { createFakeDriver } from '../src/testing.js';

const memory = { heapBytes: 0x1000, stackBytes: 0x1000, inputBytes: 0x2000, outputBytes: 0x2000 };
const layout = layoutMemory({ imageBytes: 0x1000, memory, hostFunctionsBytes: 0x1000 });
const plan: VmPlan = {
  memoryBytes: layout.memoryBytes,
  regions: layout.regions,
  load: [],
  ring0: { pageTablesBytes: layout.pageTables.lengthBytes },
};

const fake = async () => createFakeDriver({ program: () => () => ({ kind: 'halt' }) });
const kvm = await createKvmDriver({ slots: 1, spareShells: 0 }).then(
  async (driver) => {
    await driver.close();
    return { reason: '' };
  },
  (error: unknown) => ({ reason: error instanceof Error ? error.message : String(error) }),
);

function over(vm: DriverVm, logLevel?: LogLevel): Hypervisor {
  return new Hypervisor({ vm, layout, cookie: new Uint8Array(16), hostFunctions: new Map(), logLevel });
}

async function create(start: () => Promise<HypervisorDriver>): Promise<DriverVm> {
  const driver = await start();
  onTestFinished(() => driver.close());
  return await driver.createVm(plan);
}

const drivers: [string, () => Promise<HypervisorDriver>, string][] = [
  ['fake', fake, ''],
  ['kvm', () => createKvmDriver({ slots: 1, spareShells: 0 }), kvm.reason],
];

describe.each(drivers)('a hypervisor over the %s driver', (_name, start, reason) => {
  const it = test.skipIf(reason !== '');
  it(`has the registers of its guest${reason && ` (skipped: ${reason})`}`, async () => {
    const hypervisor = over(await create(start));
    expect(await hypervisor.regs()).toMatchObject({ rip: 0n, rflags: 2n });
    await hypervisor.setRegs({ rip: 0x5000n, r9: 9n });
    expect(await hypervisor.regs()).toMatchObject({ rip: 0x5000n, r9: 9n, rax: 0n });
    await hypervisor.setFpu({ ...resetFpuState(), mxcsr: 0x3f80 });
    expect((await hypervisor.fpu()).mxcsr).toBe(0x3f80);
  });

  it(`starts in the special registers of paging, and not without it at CPL 3${reason && ` (skipped: ${reason})`}`, async () => {
    const hypervisor = over(await create(start));
    await hypervisor.setSregs({ ...(await hypervisor.sregs()), cr2: 5n });
    await hypervisor.setupInitialSregs({ paging: true });
    expect(await hypervisor.sregs()).toEqual(initialSpecialRegisters({ paging: true }));
    await expect(hypervisor.setupInitialSregs({ paging: false })).rejects.toMatchObject({
      code: 'MAYFLY_ERR_VM_PRIVILEGE',
    });
  });

  it(`maps regions beside guest memory${reason && ` (skipped: ${reason})`}`, async () => {
    const hypervisor = over(await create(start));
    const source = { bytes: Uint8Array.of(1) };
    await hypervisor.mapRegion({ address: 0x4000_0000, rights: Rights.READ, source });
    expect(hypervisor.mappedRegions).toEqual([
      { address: 0x4000_0000, lengthBytes: 4096, rights: Rights.READ },
    ]);
    await hypervisor.unmapRegion(0x4000_0000);
    expect(hypervisor.mappedRegions).toEqual([]);
  });
});

describe('a hypervisor', () => {
  test.each<[LogLevel, number]>([
    ['off', 0],
    ['error', 1],
    ['trace', 5],
  ])('tells its guest the log level %s as %i', async (level, number) => {
    expect(over(await create(fake), level).maxLogLevel).toBe(number);
  });

  test('over a driver that leaves an operation out refuses it by name', async () => {
    const vm = await create(fake);
    const bare = new Proxy(vm, {
      get: (target, key) =>
        key === 'registers' || key === 'mapRegion' ? undefined : Reflect.get(target, key),
    });
    await expect(over(bare).regs()).rejects.toMatchObject({
      code: 'MAYFLY_ERR_NOT_SUPPORTED',
      details: { name: 'registers' },
    });
    const source = { bytes: Uint8Array.of(1) };
    await expect(over(bare).mapRegion({ address: 0x4000_0000, rights: 1, source })).rejects.toMatchObject({
      code: 'MAYFLY_ERR_NOT_SUPPORTED',
    });
  });
});

test.skipIf(kvm.reason !== '')(
  `a guest in ring 0 starts without paging when it is asked to, like real mode${kvm.reason && ` (skipped: ${kvm.reason})`}`,
  async () => {
    const driver = await createKvmDriver({ slots: 1, spareShells: 0 });
    onTestFinished(() => driver.close());
    const vm = await driver.createVm({
      memoryBytes: 0x1_0000,
      regions: [{ address: 0x8000, lengthBytes: 0x1000, rights: 7 }],
      // mov $0x1234, %ax, as only a 16-bit segment reads it; out %ax, $0x65; hlt
      load: [{ address: 0x8000, bytes: Uint8Array.of(0xb8, 0x34, 0x12, 0xe7, 0x65, 0xf4) }],
      privilege: 'supervisor',
    });
    const hypervisor = over(vm);
    await hypervisor.setupInitialSregs({ paging: false });
    expect(await hypervisor.sregs()).toEqual(initialSpecialRegisters({ paging: false }));
    const answer = await vm.run({ entry: { rip: 0x8000n } });
    expect(answer.exit).toEqual({ kind: 'io-out', port: 0x65, sizeBytes: 2, value: 0x1234 });
    expect((await vm.run({})).exit).toEqual({ kind: 'halt' });
  },
);

test('a guest in ring 0 is refused by name by a driver that has none', async () => {
  const driver = await fake();
  onTestFinished(() => driver.close());
  await expect(
    driver.createVm({ memoryBytes: 0x1000, regions: [], load: [], privilege: 'supervisor' }),
  ).rejects.toMatchObject({
    code: 'MAYFLY_ERR_VM_PLAN',
    message: expect.stringContaining('privilege'),
  });
});
