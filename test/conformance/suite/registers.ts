import { initialSpecialRegisters, resetFpuState, type SpecialRegisters } from '@mayfly/hypervisor';
import { describe, expect, test } from 'vitest';
import { error, type Kit, type WholeVm } from '../kit.js';
import { PLACE, type Program, planOf } from '../program.js';
import * as programs from '../programs.js';

const code = BigInt(PLACE.code);

/** Registers of the idle guest. */
export function registersSuite(kit: Kit): void {
  const { enter, goOn } = kit;
  const create = async (program: Program, plan = planOf(program)) =>
    (await kit.create(program, plan)) as WholeVm;
  const createForRing0 = (program: Program) => create(program, planOf(program, { ring0: true }));

  describe('general registers', () => {
    test('are 0 at first, and at an exit those of the guest', async () => {
      const vm = await create(programs.ASK_AND_TELL);
      const { rflags, ...others } = await vm.registers();
      expect(rflags).toBe(2n);
      expect(Object.values(others)).toEqual(Array(17).fill(0n));
      const { regs } = await enter(vm, { rbx: 5n });
      expect(await vm.registers()).toMatchObject({ rip: regs.rip, rbx: 5n, rdx: 200n, rsp: regs.rsp });
    });

    test('are set by name, and a run without an entry goes on with them from any exit', async () => {
      const vm = await create(programs.LOAD);
      await enter(vm, { rdi: BigInt(PLACE.readOnly), rcx: 9n });
      await vm.setRegisters({ rip: code, rdi: BigInt(PLACE.data) });
      const answer = await goOn(vm);
      expect(answer).toMatchObject({ exit: { kind: 'halt' }, regs: { rax: 0n, rcx: 9n } });
    });

    test('of a faulting guest are those of its code, and can lead it on', async () => {
      const vm = await create(programs.LOAD);
      expect((await enter(vm, { rdi: 0n })).exit.kind).toBe('exception');
      expect(await vm.registers()).toMatchObject({ rip: code, rdi: 0n });
      await vm.setRegisters({ rdi: BigInt(PLACE.readOnly) });
      expect((await goOn(vm)).regs.rax).toBe(0x5eedn);
    });

    test('come back with a restore', async () => {
      const vm = await create(programs.ASK_AND_TELL);
      await enter(vm, { rbx: 5n });
      const before = await vm.registers();
      await vm.snapshot();
      await vm.setRegisters({ rbx: 6n, rip: code });
      await goOn(vm, { restore: true });
      await goOn(vm);
      const snapshot = await vm.snapshot();
      await enter(vm, {});
      await vm.restore(snapshot);
      expect((await vm.registers()).rbx).toBe(before.rbx);
    });

    test('keep the flags that the guest may not change out', async () => {
      const vm = await create(programs.HALT);
      await enter(vm);
      await vm.setRegisters({ rflags: 0x3000n | 0x4000n | 0x2_0000n | 1n });
      expect((await vm.registers()).rflags & ~0x200n).toBe(3n);
    });

    test('with an RIP that is not canonical are refused, and nothing changes', async () => {
      const vm = await create(programs.HALT);
      await enter(vm);
      const before = await vm.registers();
      await expect(vm.setRegisters({ rbx: 1n, rip: 2n ** 47n })).rejects.toThrow(
        error('MAYFLY_ERR_VM_REQUEST'),
      );
      expect(await vm.registers()).toEqual(before);
    });

    test('are an operation: refused while the guest runs, and when the VM is closed', async () => {
      const vm = await create(programs.SPIN);
      const special = await vm.specialRegisters();
      const running = enter(vm, {}, { startsCall: true });
      const operations = [
        () => vm.registers(),
        () => vm.setRegisters({}),
        () => vm.specialRegisters(),
        () => vm.setSpecialRegisters(special),
        () => vm.fpu(),
        () => vm.setFpu(resetFpuState()),
      ];
      for (const operation of operations)
        await expect(operation()).rejects.toThrow(error('MAYFLY_ERR_VM_BUSY'));
      vm.interrupt.kill();
      await running;
      await vm.close();
      for (const operation of operations)
        await expect(operation()).rejects.toThrow(error('MAYFLY_ERR_VM_CLOSED'));
    });
  });

  describe('special registers', () => {
    test('of a guest built for ring 0 are those that ring 0 would have seen (guest-abi 4.1)', async () => {
      const vm = await createForRing0(programs.HALT);
      expect(await vm.specialRegisters()).toEqual(initialSpecialRegisters({ paging: true }));
    });

    test('of such a guest are set as far as it could have set them itself', async () => {
      const vm = await createForRing0(programs.READ_CR2);
      const first = await vm.specialRegisters();
      const wanted: SpecialRegisters = {
        ...first,
        cr2: 0x1234n,
        cr4: 0x6a0n,
        gdt: { base: 0x2100n, limit: 23 },
        idt: { base: 0x2200n, limit: 0x1ff },
      };
      await vm.setSpecialRegisters(wanted);
      expect(await vm.specialRegisters()).toEqual(wanted);
      expect((await enter(vm)).regs.rax).toBe(0x1234n);
    });

    const forbidden: [string, boolean, (first: SpecialRegisters) => Partial<SpecialRegisters>][] = [
      ['cr0', true, () => ({ cr0: 0n })],
      ['cr3', true, () => ({ cr3: 0x3000n })],
      ['cr4', true, () => ({ cr4: 0x20n })],
      ['cr8', true, () => ({ cr8: 1n })],
      ['efer', true, () => ({ efer: 0n })],
      ['cs', true, ({ cs }) => ({ cs: { ...cs, privilegeLevel: 3 } })],
      ['ss', true, ({ cs }) => ({ ss: { ...cs, type: 3, privilegeLevel: 3, longMode: false } })],
      ['cr3', false, () => ({ cr3: 0x7000n })],
      ['cr4', false, ({ cr4 }) => ({ cr4: cr4 ^ 0x80n })],
      ['cs', false, ({ cs }) => ({ cs: { ...cs, privilegeLevel: 0 } })],
      ['gdt', false, () => ({ gdt: { base: 0x2000n, limit: 23 } })],
      ['idt', false, () => ({ idt: { base: 0x2000n, limit: 23 } })],
    ];
    test.each(forbidden)(
      '%s is refused by name (built for ring 0: %s), and nothing changes',
      async (name, ring0, change) => {
        const vm = await create(programs.HALT, planOf(programs.HALT, { ring0 }));
        const first = await vm.specialRegisters();
        await expect(vm.setSpecialRegisters({ ...first, cr2: first.cr2, ...change(first) })).rejects.toThrow(
          expect.objectContaining({
            code: 'MAYFLY_ERR_VM_PRIVILEGE',
            message: expect.stringContaining(name),
          }),
        );
        expect(await vm.specialRegisters()).toEqual(first);
        expect((await enter(vm)).exit).toEqual({ kind: 'halt' });
      },
    );

    test.each([true, false])('hold the bases of FS and GS (built for ring 0: %s)', async (ring0) => {
      const vm = await create(programs.HALT, planOf(programs.HALT, { ring0 }));
      const first = await vm.specialRegisters();
      const wanted = { ...first, fs: { ...first.fs, base: 0x1000n }, gs: { ...first.gs, base: 0x2000n } };
      await vm.setSpecialRegisters(wanted);
      expect(await vm.specialRegisters()).toEqual(wanted);
    });

    test('of a guest built for ring 0 come back with a restore', async () => {
      const vm = await createForRing0(programs.HALT);
      await enter(vm);
      const first = await vm.specialRegisters();
      const snapshot = await vm.snapshot();
      await vm.setSpecialRegisters({ ...first, cr2: 7n, idt: { base: 0x2000n, limit: 0 } });
      await vm.restore(snapshot);
      expect(await vm.specialRegisters()).toEqual(first);
    });
  });

  describe('FPU state', () => {
    test('is reset by an entry, and a run without one goes on with what was set', async () => {
      const vm = await create(programs.SET_XMM);
      await enter(vm, { rax: 0xdead_beefn });
      const fpu = await vm.fpu();
      expect(Buffer.from(fpu.xmm[0] ?? []).readUInt32LE()).toBe(0xdead_beef);
      const xmm = fpu.xmm.map((bytes, index) => (index === 0 ? new Uint8Array(16).fill(0x11) : bytes));
      await vm.setFpu({ ...fpu, xmm, mxcsr: 0x3f80 });
      expect(await vm.fpu()).toEqual({ ...fpu, xmm, mxcsr: 0x3f80 });
      await vm.setRegisters({ rip: code + BigInt(programs.GET_XMM_OFFSET) });
      expect((await goOn(vm)).regs.rax).toBe(0x1111_1111_1111_1111n);
      await enter(vm, { rip: code + BigInt(programs.GET_XMM_OFFSET) });
      expect(await vm.fpu()).toEqual(resetFpuState());
    });

    test('with reserved bits of MXCSR is refused, and nothing changes', async () => {
      const vm = await create(programs.HALT);
      await enter(vm);
      const before = await vm.fpu();
      await expect(vm.setFpu({ ...before, mxcsr: 0x1_0000 })).rejects.toThrow(error('MAYFLY_ERR_VM_REQUEST'));
      expect(await vm.fpu()).toEqual(before);
    });
  });
}
