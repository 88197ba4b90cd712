import {
  createKvmDriver,
  type DriverVm,
  type HypervisorDriver,
  initialSpecialRegisters,
  type VmPlan,
} from '@mayfly/hypervisor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CODE, call, entry, makeVm, noKvm, planOf, STACK_TOP } from './guest.js';

/** A VM of a driver that has all of the contract. */
type WholeVm = Required<DriverVm>;

describe.skipIf(noKvm !== undefined)(
  `registers of a KVM guest${noKvm === undefined ? '' : ` (skipped: ${noKvm})`}`,
  () => {
    let driver: HypervisorDriver;
    beforeAll(async () => {
      driver = await createKvmDriver();
    });
    afterAll(() => driver?.close());

    it('are read at an OUT and set by name, and the guest goes on with them', async () => {
      const vm = (await makeVm(driver, 'hostCall')) as WholeVm;
      expect(await vm.registers()).toMatchObject({ rip: 0n, rax: 0n, rflags: 2n });
      await vm.run({ entry: entry(5n) });
      expect(await vm.registers()).toMatchObject({
        rip: BigInt(CODE + 2),
        rdi: 5n,
        rsp: BigInt(STACK_TOP - 8),
      });
      await vm.setRegisters({ rdi: 77n });
      const answer = await vm.run({});
      expect(answer.exit).toEqual({ kind: 'halt' });
      expect(answer.regs.rdi).toBe(77n);
      await vm.setRegisters({ rip: BigInt(CODE) });
      expect((await vm.run({})).exit).toMatchObject({ kind: 'io-out' });
      await vm.close();
    });

    it('are refused by name where the guest could not have them, and nothing is lost', async () => {
      const vm = (await makeVm(driver, 'hostCall')) as WholeVm;
      await expect(vm.setRegisters({ rip: 2n ** 47n })).rejects.toMatchObject({
        code: 'MAYFLY_ERR_VM_REQUEST',
      });
      const special = await vm.specialRegisters();
      await expect(vm.setSpecialRegisters({ ...special, cr3: 0n })).rejects.toMatchObject({
        code: 'MAYFLY_ERR_VM_PRIVILEGE',
        message: expect.stringContaining('cr3'),
      });
      await vm.setSpecialRegisters({ ...special, fs: { ...special.fs, base: 0x1000n } });
      expect((await vm.specialRegisters()).fs.base).toBe(0x1000n);
      await expect(vm.setFpu({ ...(await vm.fpu()), mxcsr: 0x10000 })).rejects.toMatchObject({
        code: 'MAYFLY_ERR_VM_REQUEST',
      });
      expect((await call(vm)).exit).toMatchObject({ kind: 'io-out' });
      await vm.close();
      await expect(vm.registers()).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_CLOSED' });
    });

    it('are the virtual CPU’s for a guest built for ring 0', async () => {
      const vm = (await driver.createVm({
        ...planOf('hostCall'),
        ring0: { pageTablesBytes: 0x8000 },
      })) as WholeVm;
      const special = await vm.specialRegisters();
      expect(special).toMatchObject({ cr0: 0x8005_0033n, cr3: 0n, cr4: 0x620n, efer: 0xd01n });
      expect(special.cs).toMatchObject({ type: 11, longMode: true, privilegeLevel: 0, present: true });
      await vm.setSpecialRegisters({
        ...special,
        cr2: 0x1234n,
        gdt: { base: 0x5000n, limit: 0x17 },
        idt: { base: 0x6000n, limit: 0xfff },
      });
      expect(await vm.specialRegisters()).toEqual({
        ...special,
        cr2: 0x1234n,
        gdt: { base: 0x5000n, limit: 0x17 },
        idt: { base: 0x6000n, limit: 0xfff },
      });
      await vm.close();
    });

    it('of x87 and SSE are those that were set', async () => {
      const vm = (await makeVm(driver, 'hostCall')) as WholeVm;
      await vm.run({ entry: entry() });
      const fpu = await vm.fpu();
      expect(fpu).toMatchObject({ controlWord: 0x37f, mxcsr: 0x1f80, tagWord: 0 });
      const xmm = fpu.xmm.map((_, index) => new Uint8Array(16).fill(index));
      await vm.setFpu({ ...fpu, xmm, mxcsr: 0x3f80 });
      expect((await vm.run({})).exit).toEqual({ kind: 'halt' });
      expect(await vm.fpu()).toEqual({ ...fpu, xmm, mxcsr: 0x3f80 });
      await vm.close();
    });
  },
);

describe.skipIf(noKvm !== undefined)(
  `a KVM guest in ring 0${noKvm === undefined ? '' : ` (skipped: ${noKvm})`}`,
  () => {
    it('runs as supervisor of its VM, with paging or without', async () => {
      const driver = await createKvmDriver();
      const plan: VmPlan = {
        memoryBytes: 0x10000,
        regions: [
          { address: 0, lengthBytes: 0x4000, rights: 3 },
          { address: 0x8000, lengthBytes: 0x1000, rights: 7 },
        ],
        load: [
          { address: 0, bytes: Uint8Array.of(3, 0x10) },
          { address: 0x1000, bytes: Uint8Array.of(3, 0x20) },
          { address: 0x2000, bytes: Uint8Array.of(0x83) }, // one page of 2 MiB, identity
          { address: 0x8000, bytes: Uint8Array.of(0xb0, 0x42, 0xe6, 0x65, 0xf4) }, // mov $0x42, %al; out %al, $0x65; hlt
        ],
        privilege: 'supervisor',
      };
      const vm = (await driver.createVm(plan)) as WholeVm;
      const rip = 0x8000n;
      expect(await vm.specialRegisters()).toEqual(initialSpecialRegisters({ paging: true }));
      expect((await call(vm, { entry: { rip } })).exit).toMatchObject({ kind: 'io-out', value: 0x42 });
      expect((await vm.run({})).exit).toEqual({ kind: 'halt' });
      await vm.setSpecialRegisters(initialSpecialRegisters({ paging: false }));
      expect((await call(vm, { entry: { rip } })).exit).toMatchObject({ kind: 'io-out', value: 0x42 });
      expect((await vm.run({})).exit).toEqual({ kind: 'halt' });
      const special = await vm.specialRegisters();
      await expect(
        vm.setSpecialRegisters({ ...special, cr0: 0x8000_0001n, efer: 0x100n }),
      ).rejects.toMatchObject({
        code: 'MAYFLY_ERR_VM_REQUEST',
      });
      await expect(
        driver.createVm({ ...plan, regions: [], ring0: { pageTablesBytes: 0x4000 } }),
      ).rejects.toMatchObject({
        code: 'MAYFLY_ERR_VM_PLAN',
      });
      await driver.close();
    });
  },
);
