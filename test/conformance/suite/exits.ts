import type { DriverExit, GeneralRegisters } from '@mayfly/hypervisor';
import { describe, expect, test } from 'vitest';
import type { Kit } from '../kit.js';
import { PLACE, type Program } from '../program.js';
import * as programs from '../programs.js';

const { code, data } = PLACE;

/** Why a guest comes back: each exit with its numbers. */
export function exitsSuite(kit: Kit): void {
  const { create, enter, goOn } = kit;

  describe('exits', () => {
    test('a halt ends a run', async () => {
      const vm = await create(programs.HALT);
      const answer = await enter(vm);
      expect(answer).toMatchObject({ exit: { kind: 'halt' }, outbox: [], outboxDropped: 0, dirtyPages: 0 });
      expect(answer.exits).toBeGreaterThanOrEqual(1);
      for (const phase of Object.values(answer.phases)) expect(phase).toBeGreaterThanOrEqual(0);
    });

    test('an OUT carries port, size and the first bytes of RAX', async () => {
      const vm = await create(programs.PORTS);
      const entry = { rax: 0xffff_ffff_1122_3344n, rdx: 0xfedcn };
      const port = 0xfedc;
      expect((await enter(vm, entry)).exit).toEqual({ kind: 'io-out', port, sizeBytes: 1, value: 0x44 });
      expect((await goOn(vm)).exit).toEqual({ kind: 'io-out', port, sizeBytes: 2, value: 0x3344 });
      expect((await goOn(vm)).exit).toEqual({ kind: 'io-out', port, sizeBytes: 4, value: 0x1122_3344 });
      expect((await goOn(vm)).exit).toEqual({ kind: 'halt' });
    });

    test.each([
      [programs.INPUT_BYTE, 1],
      [programs.INPUT_DWORD, 4],
    ])(
      'an IN carries port and size, and the VM can be entered anew ($0.name)',
      async (program, sizeBytes) => {
        const vm = await create(program);
        for (let round = 0; round < 2; round++)
          expect((await enter(vm, { rdx: 0x60n })).exit).toEqual({ kind: 'io-in', port: 0x60, sizeBytes });
      },
    );

    const exceptions: [string, Program, Partial<GeneralRegisters>, Partial<DriverExit>][] = [
      ['an undefined instruction', programs.UNDEFINED, {}, { vector: 6, errorCode: 0n, address: 0n }],
      ['a division by zero', programs.DIVIDE_BY_ZERO, { rax: 1n }, { vector: 0, errorCode: 0n, address: 0n }],
      ['a privileged instruction', programs.LOAD_GDT, {}, { vector: 13, errorCode: 0n }],
      ['a read of address 0', programs.LOAD, { rdi: 0n }, { vector: 14, errorCode: 4n, address: 0n }],
      [
        'a read between regions',
        programs.LOAD,
        { rdi: BigInt(PLACE.unnamed + 8) },
        { vector: 14, errorCode: 4n, address: BigInt(PLACE.unnamed + 8) },
      ],
      [
        'a read past memory',
        programs.LOAD,
        { rdi: 0x4000_0000n },
        { vector: 14, errorCode: 4n, address: 0x4000_0000n },
      ],
      [
        'a read of the guard page',
        programs.LOAD,
        { rdi: BigInt(PLACE.guard) },
        { vector: 14, errorCode: 4n, address: BigInt(PLACE.guard) },
      ],
      [
        'a write to the guard page',
        programs.STORE,
        { rdi: BigInt(PLACE.guard + 0xff8) },
        { vector: 14, errorCode: 6n, address: BigInt(PLACE.guard + 0xff8) },
      ],
      [
        'a write to a read-only region',
        programs.STORE,
        { rdi: BigInt(PLACE.readOnly) },
        { vector: 14, errorCode: 7n, address: BigInt(PLACE.readOnly) },
      ],
      [
        'a jump into data',
        programs.JUMP,
        { rdi: BigInt(data) },
        { vector: 14, errorCode: 0x15n, address: BigInt(data) },
      ],
    ];
    test.each(exceptions)('%s is an exception of the guest', async (_label, program, entry, exit) => {
      const vm = await create(program);
      const rip = program === programs.JUMP ? BigInt(data) : BigInt(code);
      const answer = await enter(vm, { rbx: 0x1234n, ...entry });
      expect(answer.exit).toEqual({ kind: 'exception', rip, address: 0n, ...exit });
      expect(answer.regs.rip).toBe(rip);
      expect(answer.regs.rbx).toBe(0x1234n);
      // The neighbour and the next entry are not disturbed.
      expect((await enter(await create(programs.HALT))).exit).toEqual({ kind: 'halt' });
      expect((await enter(vm, entry)).exit).toEqual({ kind: 'exception', rip, address: 0n, ...exit });
    });

    test('a software interrupt is refused by its gate, or as an undefined instruction', async () => {
      const { exit } = await enter(await create(programs.SOFTWARE_INTERRUPT));
      // Hardware knows the gate's rights; KVM without hardware beneath it raises #UD for every `int n`.
      const kinds = [
        { vector: 13, errorCode: 0x402n },
        { vector: 6, errorCode: 0n },
      ].map((kind) => ({ kind: 'exception', rip: BigInt(code), address: 0n, ...kind }));
      expect(kinds).toContainEqual(exit);
    });

    test('a non-canonical address is a general protection fault', async () => {
      const { exit } = await enter(await create(programs.LOAD), { rdi: 0x8000_0000_0000_0000n });
      expect(exit).toMatchObject({ kind: 'exception', vector: 13, errorCode: 0n });
    });

    test('a read-only region can be read', async () => {
      const vm = await create(programs.LOAD);
      const answer = await enter(vm, { rdi: BigInt(PLACE.readOnly) });
      expect(answer.exit).toEqual({ kind: 'halt' });
      expect(answer.regs.rax).toBe(0x5eedn);
    });
  });
}
