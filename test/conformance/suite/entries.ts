import { describe, expect, test } from 'vitest';
import { error, type Kit } from '../kit.js';
import { PLACE, word } from '../program.js';
import * as programs from '../programs.js';

const { code, data } = PLACE;

/** What a guest starts from, and what it goes on from. */
export function entriesSuite(kit: Kit): void {
  const { create, enter, goOn, firstWord } = kit;

  describe('an entry', () => {
    test('sets the registers it names and clears the others, after any other run', async () => {
      const vm = await create(programs.HALT);
      const named = { rbx: 2n ** 64n - 1n, rcx: 3n, rsi: 5n, rdi: 7n, rbp: 11n, r8: 13n, r15: 2n ** 63n };
      const first = (await enter(vm, named)).regs;
      expect(first).toMatchObject(named);
      const second = (await enter(vm, {})).regs;
      const { rip: _rip, rsp, rflags, ...others } = second;
      expect(rsp).toBe(BigInt(PLACE.stackTop - 0x28));
      expect(Object.values(others).every((value) => value === 0n)).toBe(true);
      // Real guests run with IF set, and the frame of an exception has RF.
      expect(rflags & ~0x10200n).toBe(2n);
    });

    test('resets extended state', async () => {
      const vm = await create(programs.SET_XMM);
      await enter(vm, { rax: 0xdead_beefn });
      const answer = await enter(vm, { rip: BigInt(code + programs.GET_XMM_OFFSET), rax: 1n });
      expect(answer.exit).toEqual({ kind: 'halt' });
      expect(answer.regs.rax).toBe(0n);
    });

    test('finds the stores of its request in memory, later ones over earlier ones', async () => {
      const vm = await create(programs.COPY_WORD);
      const bytes = word(7n);
      const running = enter(
        vm,
        {},
        {
          writes: [
            { address: data, bytes: word(1n) },
            { address: data, bytes },
          ],
        },
      );
      // The bytes were taken when run was called.
      bytes.fill(0xff);
      await running;
      expect(Buffer.from(vm.read(data + 8, 8)).readBigUInt64LE()).toBe(7n);
    });

    test('is needed unless the last exit was an OUT', async () => {
      const vm = await create(programs.HALT);
      await expect(goOn(vm)).rejects.toThrow(error('MAYFLY_ERR_VM_REQUEST'));
      await enter(vm);
      await expect(goOn(vm)).rejects.toThrow(error('MAYFLY_ERR_VM_REQUEST'));
      expect((await enter(vm)).exit).toEqual({ kind: 'halt' });
    });
  });
  describe('a run without an entry', () => {
    test('goes on behind the OUT, with what the host stored meanwhile', async () => {
      const vm = await create(programs.ASK_AND_TELL);
      expect((await enter(vm)).exit).toMatchObject({ kind: 'io-out', port: 200 });
      const told = await goOn(vm, { writes: [{ address: data, bytes: word(42n) }] });
      expect(told.exit).toEqual({ kind: 'io-out', port: 201, sizeBytes: 4, value: 42 });
      expect((await goOn(vm)).exit).toEqual({ kind: 'halt' });
    });

    test('works while another VM of the driver runs in between', async () => {
      const [one, other] = [await create(programs.ASK_AND_TELL), await create(programs.COUNT)];
      await enter(one);
      await enter(other);
      const told = await goOn(one, { writes: [{ address: data, bytes: word(5n) }] });
      expect(told.exit).toMatchObject({ value: 5 });
      expect(firstWord(other)).toBe(1n);
    });
  });
}
