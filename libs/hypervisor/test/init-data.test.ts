import { describe, expect, onTestFinished, test } from 'vitest';
import { type InitData, loadSandbox, Rights } from '../src/index.js';
import { createFakeDriver, createFakeGuest, type FakeGuestFunction } from '../src/testing.js';
import { evolveFake } from './fakes.js';

/** Reads what the PEB says of init data and stack (guest-abi 3), then the data. */
const ReadInitData: FakeGuestFunction = (_args, { machine }) => {
  const peb = machine.plan.regions[1]?.address as number;
  const [size, address] = [Number(machine.readWord(peb + 0x38)), Number(machine.readWord(peb + 0x40))];
  return { ok: true, value: { type: 'bytes', value: machine.read(address, size) } };
};
const StackEnd: FakeGuestFunction = (_args, { machine }) => {
  const peb = machine.plan.regions[1]?.address as number;
  return {
    ok: true,
    value: { type: 'ulong', value: machine.readWord(peb + 0x60) - machine.readWord(peb + 0x58) },
  };
};
const WriteInitData: FakeGuestFunction = (_args, { machine }) => {
  const peb = machine.plan.regions[1]?.address as number;
  machine.writeWord(Number(machine.readWord(peb + 0x40)), 1n);
  return { ok: true, value: { type: 'void' } };
};
const FUNCTIONS = { ReadInitData, StackEnd, WriteInitData };

describe('init data', () => {
  test.each([1, 4096, 4097, 5 << 20])(
    'of %i bytes is where the PEB says, and the stack is as without it',
    async (length) => {
      const bytes = new Uint8Array(length).fill(0x5a);
      const sandbox = await evolveFake(FUNCTIONS, {
        initData: { bytes },
        memory: { stackBytes: 0x3000, outputBytes: 6 << 20 },
      });
      const { value } = await sandbox.invoke('ReadInitData', [], 'bytes');
      expect(value?.type === 'bytes' && Buffer.compare(value.value, bytes)).toBe(0);
      expect((await sandbox.invoke('StackEnd', [], 'ulong')).value).toEqual({
        type: 'ulong',
        value: 0x3000n,
      });
    },
  );

  test('is empty where there is none', async () => {
    const { value } = await (await evolveFake(FUNCTIONS)).invoke('ReadInitData', [], 'bytes');
    expect(value).toEqual({ type: 'bytes', value: new Uint8Array(0) });
  });

  test('is read-only unless it says otherwise, and what a call writes is gone in the next', async () => {
    const bytes = new Uint8Array(8).fill(7);
    const readOnly = await evolveFake(FUNCTIONS, { initData: { bytes } });
    expect(await readOnly.invoke('WriteInitData', [], 'void')).toMatchObject({
      outcome: 'access-violation',
      detail: { message: expect.stringContaining('of type WRITE, but memory is marked as READ') },
    });
    const writable = await evolveFake(FUNCTIONS, { initData: { bytes, rights: Rights.READ | Rights.WRITE } });
    expect((await writable.invoke('WriteInitData', [], 'void')).outcome).toBe('succeeded');
    expect((await writable.invoke('ReadInitData', [], 'bytes')).value).toEqual({
      type: 'bytes',
      value: bytes,
    });
  });

  test.each<[string, InitData]>([
    ['no bytes', { bytes: new Uint8Array(0) }],
    ['something else than bytes', { bytes: 'text' as unknown as Uint8Array }],
    ['the right of a guard page', { bytes: new Uint8Array(1), rights: Rights.READ | Rights.STACK_GUARD }],
    ['a right that is none', { bytes: new Uint8Array(1), rights: -1 }],
  ])('with %s is refused by name', async (_label, initData) => {
    await expect(evolveFake(FUNCTIONS, { initData })).rejects.toMatchObject({
      code: 'MAYFLY_ERR_SANDBOX_OPTIONS',
    });
  });

  test('that makes memory larger than 1 GiB is refused by name', async () => {
    const { elf, program } = createFakeGuest({ functions: {} });
    const driver = createFakeDriver({ program: () => program });
    onTestFinished(() => driver.close());
    const initData = { bytes: new Uint8Array(520 << 20) };
    await expect(
      loadSandbox(driver, elf, { initData, memory: { heapBytes: 512 << 20 } }),
    ).rejects.toMatchObject({
      code: 'MAYFLY_ERR_MEMORY_TOO_BIG',
    });
  });
});
