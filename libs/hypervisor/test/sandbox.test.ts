import { describe, expect, test } from 'vitest';
import { Sandbox, Snapshot } from '../src/index.js';
import { emptyStack } from '../src/memory/io-stack.js';
import type { FakeGuestFunction, FakeStep } from '../src/testing.js';
import { evolveFake, FUNCTIONS, loadFake } from './fakes.js';

const int = (value: number) => ({ type: 'int', value }) as const;
const string = (value: string) => ({ type: 'string', value }) as const;
const error = (code: string) => expect.objectContaining({ code });

/** A guest function that does one thing that ends it. */
const does = (step: FakeStep): FakeGuestFunction =>
  function* () {
    yield step;
    return { ok: true, value: int(1) };
  };

describe('a call', () => {
  test('answers with the value of the function and reports what it cost', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const report = await sandbox.call('Echo', [string('héllo')], 'string');
    expect(report).toMatchObject({
      outcome: 'succeeded',
      value: string('héllo'),
      logs: [],
      printed: '',
      exits: 1,
      hostCalls: 0,
    });
    expect(Object.values(report.phases).every((value) => Number.isFinite(value) && value >= 0)).toBe(true);
    expect(sandbox.poisoned).toBe(false);
  });

  test('keeps the state of the guest; an invoke does not', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const count = async (how: 'call' | 'invoke') => (await sandbox[how]('Count', [], 'long')).value;
    expect(await count('call')).toEqual({ type: 'long', value: 1n });
    expect(await count('call')).toEqual({ type: 'long', value: 2n });
    expect(await count('invoke')).toEqual({ type: 'long', value: 1n });
    expect(await count('invoke')).toEqual({ type: 'long', value: 1n });
    expect(await count('call')).toEqual({ type: 'long', value: 2n });
  });

  test('reports the pages that an invoke restored', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    await sandbox.invoke('Count', [], 'long');
    const report = await sandbox.invoke('Echo', [int(1)], 'int');
    expect(report.dirtyPages).toBeGreaterThan(0);
  });

  test('answers a guest error with code, name and text, and does not poison', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    expect(await sandbox.call('Fail', [], 'int')).toMatchObject({
      outcome: 'guest-error',
      detail: { guestCode: 15, guestCodeName: 'GuestError', message: 'no luck' },
    });
    expect(await sandbox.call('Nope', [], 'int')).toMatchObject({
      outcome: 'guest-error',
      detail: { guestCode: 4, guestCodeName: 'GuestFunctionNotFound', message: 'Nope' },
    });
    expect(sandbox.poisoned).toBe(false);
  });

  test('takes a guest error 9 for a stack overflow, and poisons', async () => {
    const sandbox = await evolveFake({ F: () => ({ ok: false, code: 9n, message: '' }) });
    expect((await sandbox.call('F', [], 'int')).outcome).toBe('stack-overflow');
    expect(sandbox.poisoned).toBe(true);
  });

  test('answers a value of another type as protocol, and does not poison', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    expect(await sandbox.call('Echo', [int(1)], 'string')).toMatchObject({
      outcome: 'protocol',
      detail: { message: 'The guest answered with int; string was asked for' },
    });
    expect(sandbox.poisoned).toBe(false);
  });

  test('answers a halt without result as protocol, and poisons', async () => {
    const sandbox = await evolveFake({ F: does({ kind: 'halt' }) });
    expect(await sandbox.call('F', [], 'int')).toMatchObject({
      outcome: 'protocol',
      detail: { message: expect.stringMatching(/^Unable to pop data from buffer/) },
    });
    expect(sandbox.poisoned).toBe(true);
  });

  test('of one sandbox is refused while another is under way', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const first = sandbox.call('Echo', [int(1)], 'int');
    await expect(sandbox.call('Echo', [int(2)], 'int')).rejects.toThrow(error('MAYFLY_ERR_SANDBOX_BUSY'));
    await expect(sandbox.invoke('Echo', [int(2)], 'int')).rejects.toThrow(error('MAYFLY_ERR_SANDBOX_BUSY'));
    await expect(sandbox.snapshot()).rejects.toThrow(error('MAYFLY_ERR_SANDBOX_BUSY'));
    expect((await first).value).toEqual(int(1));
    expect((await sandbox.call('Echo', [int(3)], 'int')).value).toEqual(int(3));
  });

  test('larger than the input buffer is refused and costs the sandbox nothing', async () => {
    const sandbox = await evolveFake(FUNCTIONS, { memory: { inputBytes: 0x2000 } });
    await expect(
      sandbox.call('Echo', [{ type: 'bytes', value: new Uint8Array(0x2000) }], 'bytes'),
    ).rejects.toThrow(error('MAYFLY_ERR_CALL_TOO_LARGE'));
    expect((await sandbox.call('Echo', [int(3)], 'int')).value).toEqual(int(3));
  });

  test('finds both buffers empty, whatever the last one left there', async () => {
    const sandbox = await evolveFake({
      ...FUNCTIONS,
      Litter: (_args, { machine }) => {
        const { regions } = machine.plan;
        machine.writeWord(regions[3]?.address as number, 0xffffn);
        return { ok: false, code: 15n, message: 'left a mess' };
      },
      Headers: (_args, { machine }) => {
        const { regions } = machine.plan;
        const [input, output] = [3, 4].map((index) => machine.readWord(regions[index]?.address as number));
        return { ok: true, value: string(`${input} ${output}`) };
      },
    });
    await sandbox.call('Litter', [], 'int');
    const empty = Buffer.from(emptyStack({ address: 0, lengthBytes: 0 }).bytes).readBigUInt64LE();
    expect((await sandbox.call('Headers', [], 'string')).value).toEqual(string(`${empty} ${empty}`));
  });
});

describe('an exit of the guest', () => {
  const exits: [string, FakeStep, string, Record<string, unknown>][] = [
    [
      'an OUT to port 0',
      { kind: 'io-out', port: 0, sizeBytes: 4, value: 1 },
      'protocol',
      { message: 'Invalid OutBAction value: 0' },
    ],
    [
      'an OUT to port 100',
      { kind: 'io-out', port: 100, sizeBytes: 4, value: 1 },
      'protocol',
      { message: 'Invalid OutBAction value: 100' },
    ],
    ['an OUT to port 65535', { kind: 'io-out', port: 65535, sizeBytes: 1, value: 1 }, 'protocol', {}],
    ['an IN', { kind: 'io-in', port: 96, sizeBytes: 1 }, 'protocol', {}],
    [
      'MMIO outside the plan',
      { kind: 'mmio', address: 0x4000_0000n, write: false, lengthBytes: 8 },
      'access-violation',
      { address: '0x40000000' },
    ],
    ['a host call without a call', { kind: 'io-out', port: 101, sizeBytes: 4, value: 0 }, 'protocol', {}],
    ['a log without a record', { kind: 'io-out', port: 99, sizeBytes: 4, value: 0 }, 'protocol', {}],
    [
      'a debug print of no character',
      { kind: 'io-out', port: 103, sizeBytes: 4, value: 0x11_0000 },
      'protocol',
      { message: 'Invalid character for logging: 1114112' },
    ],
  ];
  test.each(exits)('%s is an outcome and poisons', async (_name, step, outcome, detail) => {
    const sandbox = await evolveFake({ ...FUNCTIONS, F: does(step) });
    expect(await sandbox.call('F', [], 'int')).toMatchObject({ outcome, detail });
    expect(sandbox.poisoned).toBe(true);
    await expect(sandbox.call('Echo', [int(1)], 'int')).rejects.toThrow(error('MAYFLY_ERR_SANDBOX_POISONED'));
    await expect(sandbox.snapshot()).rejects.toThrow(error('MAYFLY_ERR_SANDBOX_POISONED'));
    expect((await sandbox.invoke('Echo', [int(1)], 'int')).value).toEqual(int(1));
    expect(sandbox.poisoned).toBe(false);
  });

  test.each([
    ['a triple fault', { kind: 'shutdown' }, 'exception', { vector: 'DoubleFault' }],
    [
      'an internal error',
      { kind: 'unknown', reason: 'suberror 1' },
      'host-fault',
      { message: 'Unexpected VM Exit "suberror 1"' },
    ],
  ] as [string, FakeStep, string, Record<string, unknown>][])(
    '%s leaves the sandbox in doubt for good',
    async (_name, step, outcome, detail) => {
      const sandbox = await evolveFake({ ...FUNCTIONS, F: does(step) });
      expect(await sandbox.call('F', [], 'int')).toMatchObject({ outcome, detail });
      expect(sandbox.doubtful).toBe(true);
      await expect(sandbox.invoke('Echo', [int(1)], 'int')).rejects.toThrow(
        error('MAYFLY_ERR_SANDBOX_DOUBTFUL'),
      );
    },
  );

  const accesses: [string, number, 'read' | 'write', number, string, Record<string, unknown>][] = [
    ['a write below the stack', 6, 'write', 0, 'stack-overflow', { message: 'Stack overflow detected' }],
    ['a read of the guard page', 6, 'read', 4088, 'stack-overflow', {}],
    [
      'a write to the host function list',
      2,
      'write',
      0,
      'access-violation',
      { message: expect.stringMatching(/of type WRITE, but memory is marked as READ$/) },
    ],
  ];
  test.each(accesses)('%s is an outcome', async (_name, region, access, offset, outcome, detail) => {
    const sandbox = await evolveFake({
      F: (_args, { machine }) => {
        const at = (machine.plan.regions[region]?.address as number) + offset;
        if (access === 'read') machine.readWord(at);
        else machine.writeWord(at, 1n);
        return { ok: true, value: int(1) };
      },
    });
    expect(await sandbox.call('F', [], 'int')).toMatchObject({ outcome, detail });
    expect(sandbox.poisoned).toBe(true);
  });

  test('for a null pointer is an exception with vector, instruction and address', async () => {
    const sandbox = await evolveFake({
      F: (_args, { machine }) => ({ ok: true, value: { type: 'long', value: machine.readWord(8) } }),
    });
    expect((await sandbox.call('F', [], 'long')).detail).toEqual({
      vector: 'PageFault',
      address: '0x8',
      rip: expect.stringMatching(/^0x[0-9a-f]+$/),
      message: expect.stringMatching(/^PageFault at 0x[0-9a-f]+, address 0x8$/),
    });
  });

  test.each([
    [0, 'DivideByZero'],
    [6, 'InvalidOpcode'],
    [13, 'GeneralProtectionFault'],
    [25, 'Vector25'],
  ])('for vector %i is an exception named %s', async (vector, name) => {
    const sandbox = await evolveFake({ F: (_args, { machine }) => machine.raise(vector) });
    expect(await sandbox.call('F', [], 'int')).toMatchObject({
      outcome: 'exception',
      detail: { vector: name },
    });
  });

  test('by MMIO with a broken stack cookie is a stack overflow', async () => {
    const sandbox = await evolveFake({
      *F(_args, { machine }) {
        machine.writeWord(machine.plan.regions[7]?.address as number, 0n);
        yield { kind: 'mmio', address: 0x4000_0000n, write: true, lengthBytes: 8 };
        return { ok: true, value: int(1) };
      },
    });
    expect((await sandbox.call('F', [], 'int')).outcome).toBe('stack-overflow');
  });
});

describe('an abort', () => {
  test.each([
    [15, 'went wrong', 'aborted', { guestCode: 15, guestCodeName: 'GuestError', message: 'went wrong' }],
    [0, '', 'aborted', { guestCode: 0, message: '' }],
    [8, 'panicked at a.rs:1:2:\nmessage', 'aborted', { guestCodeName: 'UnknownError' }],
    [8, 'memory allocation of 64 bytes failed', 'out-of-memory', {}],
    [13, '', 'out-of-memory', { guestCode: 13, guestCodeName: 'MallocFailed' }],
    [9, '', 'stack-overflow', { guestCode: 9 }],
    [255, 'never seen', 'aborted', { guestCode: 0, message: '' }],
    [15, '\x0eat 0x1', 'aborted', { vector: 'PageFault', message: 'Exception: PageFault | at 0x1' }],
    [15, '\x19at 0x1', 'aborted', { message: '\x19at 0x1' }],
    [15, 'x'.repeat(1023), 'aborted', { message: 'x'.repeat(1023) }],
    [15, 'x'.repeat(1024), 'aborted', { guestCode: 0, message: 'Guest abort buffer overflowed' }],
  ])('with code %i and %j is %s', async (code, message, outcome, detail) => {
    const sandbox = await evolveFake(FUNCTIONS);
    const report = await sandbox.call('Abort', [int(code), string(message)], 'int');
    expect(report).toMatchObject({ outcome, detail });
    expect(sandbox.poisoned).toBe(true);
  });
});

describe('a snapshot', () => {
  test('is the base that restore and invoke return to', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const first = await sandbox.snapshot();
    await sandbox.call('Count', [], 'long');
    const second = await sandbox.snapshot();
    expect((await sandbox.invoke('Count', [], 'long')).value).toEqual({ type: 'long', value: 2n });
    await sandbox.restore(first);
    expect((await sandbox.invoke('Count', [], 'long')).value).toEqual({ type: 'long', value: 1n });
    await sandbox.restore(second);
    expect((await sandbox.call('Count', [], 'long')).value).toEqual({ type: 'long', value: 2n });
  });

  test('makes other sandboxes of the same guest that share no state', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const snapshot = await sandbox.snapshot();
    const other = await snapshot.instantiate();
    snapshot.close();
    await sandbox.call('Count', [], 'long');
    await sandbox.close();
    expect((await other.call('Count', [], 'long')).value).toEqual({ type: 'long', value: 1n });
    expect((await other.invoke('Count', [], 'long')).value).toEqual({ type: 'long', value: 1n });
    await other.close();
  });

  test('restores a poisoned sandbox', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const snapshot = await sandbox.snapshot();
    await sandbox.call('Abort', [int(1), string('x')], 'int');
    expect(sandbox.poisoned).toBe(true);
    await sandbox.restore(snapshot);
    expect((await sandbox.call('Echo', [int(5)], 'int')).value).toEqual(int(5));
  });

  test('of another guest, closed, or no snapshot at all is refused', async () => {
    const [sandbox, stranger] = [await evolveFake(FUNCTIONS), await evolveFake(FUNCTIONS)];
    await expect(sandbox.restore(await stranger.snapshot())).rejects.toThrow(
      error('MAYFLY_ERR_SNAPSHOT_MISMATCH'),
    );
    await expect(sandbox.restore({} as Snapshot)).rejects.toThrow(error('MAYFLY_ERR_SNAPSHOT_MISMATCH'));
    const closed = await sandbox.snapshot();
    closed.close();
    closed.close();
    await expect(sandbox.restore(closed)).rejects.toThrow(error('MAYFLY_ERR_SNAPSHOT_CLOSED'));
    await expect(closed.instantiate()).rejects.toThrow(error('MAYFLY_ERR_SNAPSHOT_CLOSED'));
    expect((await sandbox.call('Echo', [int(5)], 'int')).value).toEqual(int(5));
  });
});

describe('close', () => {
  test('is idempotent and ends a running call as canceled', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const running = sandbox.call('Spin', [], 'int');
    const closing = sandbox.close();
    expect(sandbox.close()).toBe(closing);
    expect((await running).outcome).toBe('canceled');
    await closing;
    expect(sandbox.interruptHandle().dropped()).toBe(true);
    await expect(sandbox.call('Echo', [int(1)], 'int')).rejects.toThrow(error('MAYFLY_ERR_SANDBOX_CLOSED'));
    await expect(sandbox.snapshot()).rejects.toThrow(error('MAYFLY_ERR_SANDBOX_CLOSED'));
  });
});

describe('evolve', () => {
  test('rejects with the outcome, logs and text of a failed initialisation, and closes the VM', async () => {
    const loaded = await loadFake({
      functions: {},
      *init(guest) {
        yield* guest.callHost('HostPrint', [string('starting\n')], 'int');
        yield* guest.abort(15, 'no start');
      },
    });
    await expect(loaded.evolve()).rejects.toMatchObject({
      code: 'MAYFLY_ERR_GUEST_INIT',
      details: {
        outcome: 'aborted',
        detail: { guestCode: 15, message: 'no start' },
        printed: 'starting\n',
        logs: [],
      },
    });
    await expect(loaded.evolve()).rejects.toThrow(error('MAYFLY_ERR_SANDBOX_STATE'));
  });

  test('ends an initialisation that does not end, as timeout', async () => {
    const loaded = await loadFake(
      {
        functions: {},
        *init() {
          for (;;) yield { kind: 'spin' };
        },
      },
      { initTimeoutMs: 20 },
    );
    await expect(loaded.evolve()).rejects.toMatchObject({ details: { outcome: 'timeout' } });
  });

  test.each([
    ['0', 0n, 'Dispatch function address is null'],
    ['page 0', 8n, 'Dispatch function address 0x8 is outside the code'],
    ['the top', 0xffff_ffff_ffff_fff0n, 'Dispatch function address 0xfffffffffffffff0 is outside the code'],
  ])('refuses a dispatch pointer of %s', async (_name, pointer, message) => {
    const loaded = await loadFake({
      functions: {},
      *init({ machine }) {
        machine.writeWord(Number(machine.regs.rdi) + 8, pointer);
        yield { kind: 'halt' };
      },
    });
    await expect(loaded.evolve()).rejects.toMatchObject({
      details: { outcome: 'protocol', detail: { message } },
    });
  });

  test('gives the guest its PEB, a seed, the page size and the log level', async () => {
    let registers: Record<string, bigint> = {};
    const loaded = await loadFake(
      {
        functions: {},
        *init({ machine }) {
          registers = { ...machine.regs };
          yield { kind: 'next' };
        },
      },
      { logLevel: 'debug' },
    );
    await loaded.evolve();
    expect(registers).toMatchObject({ rdx: 4096n, rcx: 4n, rax: 0n, rflags: 2n });
    expect((registers['rsp'] as bigint) % 16n).toBe(8n);
  });

  test('ends before the guest runs when the sandbox is closed at once', async () => {
    const loaded = await loadFake({ functions: FUNCTIONS });
    const evolving = loaded.evolve();
    const ended = expect(evolving).rejects.toThrow(error('MAYFLY_ERR_SANDBOX_CLOSED'));
    await loaded.close();
    await ended;
  });

  test('ends when the sandbox is closed meanwhile', async () => {
    const loaded = await loadFake({
      functions: {},
      *init() {
        for (;;) yield { kind: 'spin' };
      },
    });
    const evolving = loaded.evolve();
    const ended = expect(evolving).rejects.toThrow(error('MAYFLY_ERR_GUEST_INIT'));
    await new Promise((resolve) => setImmediate(resolve));
    await loaded.close();
    await ended;
  });
});

test('sandboxes and snapshots are classes that callers can test for', async () => {
  const sandbox = await evolveFake(FUNCTIONS);
  expect(sandbox).toBeInstanceOf(Sandbox);
  expect(await sandbox.snapshot()).toBeInstanceOf(Snapshot);
});
