import type { DriverVm } from '@mayfly/hypervisor';
import { describe, expect, test } from 'vitest';
import type { Kit } from '../kit.js';
import { PLACE, type Program, planOf, word } from '../program.js';
import * as programs from '../programs.js';

const { code, data, stackTop } = PLACE;
const { GDT, IDT, GDT_OPERAND, IDT_OPERAND } = programs.RING0_PLACE;
const CODE_DESCRIPTOR = 0x00a0_9a00_0000_0000n;
const PRESENT_GATE = 0x8e00n << 32n;
const UNDEFINED = 6;

/** Guests built for ring 0: privileged instructions, exceptions through their own IDT, a virtual CPU. */
export function ring0Suite(kit: Kit): void {
  const { enter } = kit;
  const create = (program: Program) => kit.create(program, planOf(program, { ring0: true }));

  /** A GDT with a code segment, and an IDT with one gate. @param gate its two words */
  function tables(vm: DriverVm, gate: readonly [bigint, bigint]): void {
    vm.write(GDT, word(0n));
    vm.write(GDT + 8, word(CODE_DESCRIPTOR));
    vm.write(GDT_OPERAND, operand(15, GDT));
    vm.write(IDT, new Uint8Array(32 * 16));
    vm.write(IDT + UNDEFINED * 16, word(gate[0]));
    vm.write(IDT + UNDEFINED * 16 + 8, word(gate[1]));
    vm.write(IDT_OPERAND, operand(32 * 16 - 1, IDT));
  }
  const handler = BigInt(code + programs.RING0_HANDLER_OFFSET);
  const gate = (handler & 0xffffn) | (8n << 16n) | PRESENT_GATE | ((handler & 0xffff_0000n) << 32n);

  describe('a guest built for ring 0', () => {
    test('reads control registers as ring 0 has them, and halts', async () => {
      const vm = await create(programs.READ_CR4);
      expect(await enter(vm)).toMatchObject({ exit: { kind: 'halt' }, regs: { rax: 0x620n } });
    });

    test('has its exceptions taken by its own IDT, and resumes by iretq', async () => {
      const vm = await create(programs.RING0_EXCEPTION);
      tables(vm, [gate, 0n]);
      const answer = await enter(vm);
      expect(answer.exit).toEqual({ kind: 'halt' });
      // The handler saw RIP and CS of the frame that ring 0 would push; the guest went on behind the instruction.
      const undefinedAt = BigInt(code + programs.RING0_UNDEFINED_OFFSET);
      expect(answer.regs).toMatchObject({ rbx: undefinedAt, rcx: 0n, r8: 7n, rsp: BigInt(stackTop - 0x28) });
    });

    test('without an IDT ends with the exception itself', async () => {
      const vm = await create(programs.UNDEFINED);
      const { exit } = await enter(vm);
      expect(exit).toEqual({ kind: 'exception', vector: 6, errorCode: 0n, rip: BigInt(code), address: 0n });
    });

    test.each<[string, readonly [bigint, bigint]]>([
      ['has no gate for an exception', [0n, 0n]],
      ['has a gate of another kind', [(gate & ~(0xffn << 40n)) | (0x8cn << 40n), 0n]],
      ['has a gate with a data segment', [gate & ~(0xffffn << 16n), 0n]],
      ['has a gate that is not canonical', [gate, 0x8000n]],
    ])('that %s shuts down', async (_label, words) => {
      const vm = await create(programs.RING0_EXCEPTION);
      tables(vm, words);
      expect((await enter(vm)).exit).toEqual({ kind: 'shutdown' });
    });

    test('is refused by name what is not done for it, and the VM can be entered anew', async () => {
      const vm = await create(programs.READ_MSR);
      for (let round = 0; round < 2; round++) {
        const { exit } = await enter(vm);
        expect(exit).toMatchObject({ kind: 'unsupported-instruction', name: 'rdmsr', rip: BigInt(code) });
        if (exit.kind !== 'unsupported-instruction') continue;
        expect(Buffer.from(exit.bytes.subarray(0, 2)).toString('hex')).toBe('0f32');
        expect(exit.bytes.byteLength).toBeLessThanOrEqual(15);
      }
    });

    test('sees no page tables before it asks where they are', async () => {
      const vm = await create(programs.LOAD);
      expect((await enter(vm, { rdi: 0n })).exit).toMatchObject({ kind: 'exception', vector: 14 });
      const asked = await create(programs.READ_CR3_AND_LOAD);
      expect(await enter(asked, { rdi: 8n })).toMatchObject({
        exit: { kind: 'halt' },
        regs: { rbx: 0n, rax: 0n },
      });
    });

    test('has its virtual CPU in the snapshot: a restore forgets tables that were loaded since', async () => {
      const vm = await create(programs.RING0_EXCEPTION);
      tables(vm, [gate, 0n]);
      await vm.snapshot();
      expect((await enter(vm)).exit).toEqual({ kind: 'halt' });
      const atUndefined = { rip: BigInt(code + programs.RING0_UNDEFINED_OFFSET) };
      expect((await enter(vm, atUndefined)).exit).toEqual({ kind: 'halt' });
      expect((await enter(vm, atUndefined, { restore: true })).exit).toMatchObject({
        kind: 'exception',
        vector: 6,
      });
      expect(Buffer.from(vm.read(data, 2)).readUInt16LE()).toBe(15);
    });

    test('needs page tables that are whole pages, below its regions', async () => {
      const plan = planOf(programs.HALT);
      kit.load(programs.HALT);
      for (const pageTablesBytes of [0, 0x800, 0x2000, 2 ** 40, -0x1000, Number.NaN])
        await expect(kit.driver.createVm({ ...plan, ring0: { pageTablesBytes } })).rejects.toThrow(
          expect.objectContaining({ code: 'MAYFLY_ERR_VM_PLAN' }),
        );
    });
  });

  test('a guest that was not built for ring 0 meets its instructions as exceptions', async () => {
    const vm = await kit.create(programs.READ_CR4);
    expect((await enter(vm)).exit).toMatchObject({ kind: 'exception', vector: 13, errorCode: 0n });
  });
}

/** What `lgdt` and `lidt` read. */
function operand(limit: number, base: number): Uint8Array {
  const bytes = Buffer.alloc(10);
  bytes.writeUInt16LE(limit, 0);
  bytes.writeBigUInt64LE(BigInt(base), 2);
  return bytes;
}
