import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { noKvm } from '../../native/test/guest.js';
import {
  createKvmDriver,
  createProcessDriver,
  type DriverVm,
  type HypervisorDriver,
  loadSandbox,
  type ResetMismatch,
} from '../src/index.js';
import { createFakeDriver, createFakeGuest } from '../src/testing.js';
import { evolveFake, FUNCTIONS } from './fakes.js';

const int = (value: number) => ({ type: 'int', value }) as const;

/** A driver whose VMs answer comparisons with `pages`, and lie of their registers where they are told to. */
function doubtfulDriver(
  driver: HypervisorDriver,
  pages: () => number,
  lies: () => object = () => ({}),
): HypervisorDriver {
  const doubt = (vm: DriverVm): DriverVm =>
    new Proxy(vm, {
      get: (target, key) => {
        if (key === 'compareWithBase')
          return async () => {
            await target.compareWithBase?.();
            return pages();
          };
        if (key === 'close') return async () => (await target.close()) + pages();
        if (key === 'registers' || key === 'specialRegisters' || key === 'fpu')
          return async () => ({ ...(await target[key]?.()), ...lies() });
        const member = Reflect.get(target, key, target) as unknown;
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
  return {
    name: 'doubtful',
    createVm: async (plan) => doubt(await driver.createVm(plan)),
    createVmFromSnapshot: async (snapshot) => doubt(await driver.createVmFromSnapshot(snapshot)),
    close: () => driver.close(),
  };
}

describe('the live check', () => {
  test('of a clean sandbox changes nothing', async () => {
    const sandbox = await evolveFake(FUNCTIONS, { liveCheck: { oneIn: 1 } });
    for (let round = 0; round < 3; round++)
      expect((await sandbox.invoke('Count', [], 'long')).value).toEqual({ type: 'long', value: 1n });
  });

  test('that finds a difference rejects, tells, and takes the sandbox out before its call ran', async () => {
    const { elf, program } = createFakeGuest({ functions: FUNCTIONS });
    let pages = 0;
    const found: ResetMismatch[] = [];
    const driver = doubtfulDriver(createFakeDriver({ program: () => program }), () => pages);
    onTestFinished(() => driver.close());
    const loaded = await loadSandbox(driver, elf, {
      liveCheck: { oneIn: 1, onMismatch: (mismatch) => found.push(mismatch) },
    });
    const sandbox = await loaded.evolve();
    expect((await sandbox.invoke('Echo', [int(1)], 'int')).outcome).toBe('succeeded');
    pages = 3;
    await expect(sandbox.invoke('Echo', [int(1)], 'int')).rejects.toMatchObject({
      code: 'MAYFLY_ERR_RESET_MISMATCH',
      details: { differingPages: 3 },
    });
    expect(found).toEqual([{ differingPages: 3, differingRegisters: [], memoryBytes: sandbox.memoryBytes }]);
    expect(sandbox.doubtful).toBe(true);
    await expect(sandbox.invoke('Echo', [int(1)], 'int')).rejects.toMatchObject({
      code: 'MAYFLY_ERR_SANDBOX_DOUBTFUL',
    });
  });

  test('tells of a closed VM that did not get clean, once', async () => {
    const { elf, program } = createFakeGuest({ functions: FUNCTIONS });
    const found: ResetMismatch[] = [];
    let pages = 2;
    const driver = doubtfulDriver(createFakeDriver({ program: () => program }), () => pages);
    onTestFinished(() => driver.close());
    const evolve = async () => {
      const onMismatch = (mismatch: ResetMismatch) => found.push(mismatch);
      return await (await loadSandbox(driver, elf, { liveCheck: { oneIn: 0, onMismatch } })).evolve();
    };
    const unclean = await evolve();
    await Promise.all([unclean.close(), unclean.close()]);
    expect(found).toEqual([{ differingPages: 2, differingRegisters: [], memoryBytes: unclean.memoryBytes }]);
    pages = 0;
    await (await evolve()).close();
    expect(found).toHaveLength(1);
  });

  test('compares general, special, x87 and SSE registers, too', async () => {
    const { elf, program } = createFakeGuest({ functions: FUNCTIONS });
    let lies = {};
    const found: ResetMismatch[] = [];
    const fake = createFakeDriver({ program: () => program });
    const driver = doubtfulDriver(
      fake,
      () => 0,
      () => lies,
    );
    onTestFinished(() => driver.close());
    const loaded = await loadSandbox(driver, elf, {
      liveCheck: { oneIn: 1, onMismatch: (mismatch) => found.push(mismatch) },
    });
    const sandbox = await loaded.evolve();
    expect((await sandbox.invoke('Echo', [int(1)], 'int')).outcome).toBe('succeeded');
    lies = { r12: 0xbadn, gdt: { base: 1n, limit: 2 }, mxcsr: 0 };
    await expect(sandbox.invoke('Echo', [int(1)], 'int')).rejects.toMatchObject({
      code: 'MAYFLY_ERR_RESET_MISMATCH',
    });
    expect(found).toMatchObject([{ differingPages: 0, differingRegisters: ['r12', 'gdt', 'mxcsr'] }]);
  });

  test('comes about as often as it says, and never when it is off', async () => {
    const { elf, program } = createFakeGuest({ functions: FUNCTIONS });
    let checks = 0;
    const driver = doubtfulDriver(createFakeDriver({ program: () => program }), () => {
      checks++;
      return 0;
    });
    onTestFinished(() => driver.close());
    const run = async (oneIn: number) => {
      const sandbox = await (await loadSandbox(driver, elf, { liveCheck: { oneIn } })).evolve();
      checks = 0;
      for (let round = 0; round < 200; round++) await sandbox.invoke('Echo', [int(1)], 'int');
      return checks;
    };
    expect(await run(0)).toBe(0);
    const half = await run(2);
    expect(half).toBeGreaterThan(50);
    expect(half).toBeLessThan(150);
  });

  test('holds a kill and a close that come during it', async () => {
    const sandbox = await evolveFake(FUNCTIONS, { liveCheck: { oneIn: 1 } });
    const killed = sandbox.invoke('Echo', [int(1)], 'int');
    expect(sandbox.interruptHandle().kill()).toBe(true);
    expect((await killed).outcome).toBe('canceled');
    expect((await sandbox.invoke('Echo', [int(1)], 'int')).outcome).toBe('succeeded');
    const closed = sandbox.invoke('Echo', [int(1)], 'int');
    await sandbox.close();
    expect((await closed).outcome).toBe('canceled');
  });

  test.each([{ oneIn: -1 }, { oneIn: 1.5 }, { oneIn: Number.NaN }, { onMismatch: 1 as never }])(
    '%o is refused by name',
    async (liveCheck) => {
      await expect(evolveFake(FUNCTIONS, { liveCheck })).rejects.toMatchObject({
        code: 'MAYFLY_ERR_SANDBOX_OPTIONS',
      });
    },
  );
});

const GUEST = new URL('../../../guests/build/state.elf', import.meta.url);
const absence = existsSync(GUEST) ? noKvm : 'the guests are not built';

describe.skipIf(absence)(`the live check over KVM${absence ? ` (skipped: ${absence})` : ''}`, () => {
  test.each([
    ['thread', () => createKvmDriver({ slots: 1, spareShells: 0 })],
    ['process', () => createProcessDriver({ slots: 1, spareShells: 0, vms: 4 })],
  ])(
    'finds nothing after calls that soil what they can, memory and registers, isolation %s',
    async (_, start) => {
      const driver = await start();
      onTestFinished(() => driver.close());
      const found: ResetMismatch[] = [];
      const read = new Set<string>();
      const loaded = await loadSandbox(observed(driver, read), readFileSync(GUEST), {
        liveCheck: { oneIn: 1, onMismatch: (mismatch) => found.push(mismatch) },
      });
      const sandbox = await loaded.evolve();
      expect(sandbox.warm).toBe(true);
      read.clear();
      for (let round = 0; round < 5; round++)
        for (const name of ['CountEverywhere', 'SoilRegisters'])
          expect((await sandbox.invoke(name, [], 'int')).outcome).toBe('succeeded');
      expect(found).toEqual([]);
      expect([...read].sort()).toEqual(['compareWithBase', 'fpu', 'registers', 'specialRegisters']);
    },
  );
});

const CHECKED = ['compareWithBase', 'registers', 'specialRegisters', 'fpu'];

/** A driver that notes which parts of its VMs are read for a check. */
function observed(driver: HypervisorDriver, read: Set<string>): HypervisorDriver {
  const observe = (vm: DriverVm): DriverVm =>
    new Proxy(vm, {
      get: (target, key) => {
        if (CHECKED.includes(String(key))) read.add(String(key));
        const member = Reflect.get(target, key, target) as unknown;
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
  return {
    name: driver.name,
    createVm: async (plan) => observe(await driver.createVm(plan)),
    createVmFromSnapshot: async (snapshot) => observe(await driver.createVmFromSnapshot(snapshot)),
    close: () => driver.close(),
  };
}
