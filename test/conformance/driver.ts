import type {
  AddressRange,
  DriverExit,
  DriverSnapshot,
  DriverVm,
  GeneralRegisters,
  HypervisorDriver,
  RunAnswer,
  RunRequest,
  VmPlan,
} from '@mayfly/hypervisor';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { OUTPUT_BYTES, PLACE, type Program, planOf, word } from './program.js';
import * as programs from './programs.js';

/** A driver that plays programs; the fake is told which one, real drivers find its code in the plan. */
export interface DriverUnderTest {
  readonly driver: HypervisorDriver;
  /** Called before a VM of the program is created. */
  load(program: Program): void;
}

export interface ConformanceOptions {
  readonly name: string;
  /** A new driver with at least two slots. */
  readonly start: () => Promise<DriverUnderTest>;
  /** Why the driver cannot run here; the suite is skipped then, with the reason in its name. */
  readonly skipReason?: string | undefined;
}

const { code, data } = PLACE;
const LONG_US = 20_000_000;
const error = (name: string) => expect.objectContaining({ code: name });

/** What every hypervisor driver does: the contract of `libs/hypervisor/src/driver.ts` as tests. */
export function conformanceSuite({ name, start, skipReason }: ConformanceOptions): void {
  const title = `the driver contract, ${name}${skipReason === undefined ? '' : ` (skipped: ${skipReason})`}`;
  describe.skipIf(skipReason !== undefined)(title, () => {
    let under: DriverUnderTest;
    beforeAll(async () => {
      under = await start();
    });
    afterAll(() => under?.driver.close());

    async function create(program: Program, plan: VmPlan = planOf(program)): Promise<DriverVm> {
      under.load(program);
      const vm = await under.driver.createVm(plan);
      onTestFinished(() => vm.close());
      return vm;
    }
    const enter = (vm: DriverVm, entry: Partial<GeneralRegisters> = {}, more: Partial<RunRequest> = {}) =>
      vm.run({
        entry: { rip: BigInt(code), rsp: BigInt(PLACE.stackTop - 0x28), ...entry },
        deadlineUs: LONG_US,
        ...more,
      });
    const goOn = (vm: DriverVm, more: Partial<RunRequest> = {}) => vm.run({ deadlineUs: LONG_US, ...more });
    const firstWord = (vm: DriverVm) => Buffer.from(vm.read(data, 8)).readBigUInt64LE();

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
        [
          'a division by zero',
          programs.DIVIDE_BY_ZERO,
          { rax: 1n },
          { vector: 0, errorCode: 0n, address: 0n },
        ],
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

    describe('memory', () => {
      test('holds what the plan loads, and zeroes', async () => {
        const vm = await create(programs.HALT);
        expect(vm.memoryBytes).toBe(PLACE.memoryBytes);
        expect(vm.read(code, programs.HALT.code.byteLength)).toEqual(Uint8Array.from(programs.HALT.code));
        expect(vm.read(data, 0x2000).every((byte) => byte === 0)).toBe(true);
        expect(vm.read(PLACE.memoryBytes, 0)).toHaveLength(0);
      });

      test('is read as a copy and written in place', async () => {
        const vm = await create(programs.HALT);
        vm.write(data, Uint8Array.of(1, 2, 3));
        const copy = vm.read(data, 3);
        copy.fill(9);
        expect([...vm.read(data, 4)]).toEqual([1, 2, 3, 0]);
      });

      const ranges = [
        [PLACE.memoryBytes - 3, 4],
        [PLACE.memoryBytes, 1],
        [-1, 1],
        [0.5, 1],
        [2 ** 53, 1],
        [Number.NaN, 1],
      ] as const;
      test.each(ranges)('refuses address %d, %i bytes', async (address, lengthBytes) => {
        const vm = await create(programs.HALT);
        const bytes = new Uint8Array(lengthBytes);
        expect(() => vm.read(address, lengthBytes)).toThrow(error('MAYFLY_ERR_VM_RANGE'));
        expect(() => vm.write(address, bytes)).toThrow(error('MAYFLY_ERR_VM_RANGE'));
        await expect(enter(vm, {}, { writes: [{ address, bytes }] })).rejects.toThrow(
          expect.objectContaining({ code: expect.stringMatching(/^MAYFLY_ERR_VM_(RANGE|REQUEST)$/) }),
        );
        expect((await enter(vm)).exit).toEqual({ kind: 'halt' });
      });

      test.each([-1, 0.5, Number.NaN, 2 ** 40])('refuses to read %d bytes', async (lengthBytes) => {
        const vm = await create(programs.HALT);
        expect(() => vm.read(0, lengthBytes)).toThrow(error('MAYFLY_ERR_VM_RANGE'));
      });
    });

    describe('a plan', () => {
      const whole = planOf(programs.HALT);
      const region = (address: number, lengthBytes: number, rights = 3) => ({
        regions: [{ address, lengthBytes, rights }],
        load: [],
      });
      const bad: [string, Partial<VmPlan>][] = [
        ['memory of 0 bytes', { memoryBytes: 0, regions: [], load: [] }],
        ['memory of half a page', { memoryBytes: 0x10800 }],
        ['memory above 1 GiB', { memoryBytes: 2 ** 30 + 4096 }],
        ['memory of NaN bytes', { memoryBytes: Number.NaN }],
        ['a region off the page', region(0x1800, 0x1000)],
        ['a region of no bytes', region(0x1000, 0)],
        ['a region of half a page', region(0x1000, 0x800)],
        ['a region past memory', region(0xf000, 0x2000)],
        ['a region beyond memory', region(0x20000, 0x1000)],
        ['a region with unknown rights', region(0x1000, 0x1000, 16)],
        [
          'overlapping regions',
          { regions: [...region(0x1000, 0x2000).regions, ...region(0x2000, 0x1000).regions] },
        ],
        [
          'regions out of order',
          { regions: [...region(0x2000, 0x1000).regions, ...region(0x1000, 0x1000).regions] },
        ],
        ['bytes past memory', { load: [{ address: 0xfffd, bytes: word(1n) }] }],
        ['bytes at -8', { load: [{ address: -8, bytes: word(1n) }] }],
        ['an output buffer past memory', { outputBuffer: { address: 0xf000, lengthBytes: 0x2000 } }],
      ];
      test.each(bad)('with %s is refused', async (_label, change) => {
        under.load(programs.HALT);
        await expect(under.driver.createVm({ ...whole, ...change })).rejects.toThrow(
          error('MAYFLY_ERR_VM_PLAN'),
        );
      });
    });

    describe('one operation at a time', () => {
      test('others are refused as busy while the guest runs', async () => {
        const vm = await create(programs.SPIN);
        const running = enter(vm, {}, { startsCall: true });
        expect(() => vm.read(0, 1)).toThrow(error('MAYFLY_ERR_VM_BUSY'));
        expect(() => vm.write(0, new Uint8Array(1))).toThrow(error('MAYFLY_ERR_VM_BUSY'));
        await expect(enter(vm)).rejects.toThrow(error('MAYFLY_ERR_VM_BUSY'));
        await expect(vm.snapshot()).rejects.toThrow(error('MAYFLY_ERR_VM_BUSY'));
        expect(vm.interrupt.kill()).toBe(true);
        expect((await running).exit).toEqual({ kind: 'cancelled', by: 'kill' });
        vm.endCall();
        expect(vm.read(code, 1)).toHaveLength(1);
      });

      test('two VMs run side by side', async () => {
        const [one, other] = [await create(programs.COUNT_AND_SPIN), await create(programs.COUNT)];
        const spinning = enter(one, {}, { startsCall: true });
        for (let round = 1n; round <= 5n; round++) {
          expect((await enter(other)).exit).toEqual({ kind: 'halt' });
          expect(firstWord(other)).toBe(round);
        }
        one.interrupt.kill();
        await spinning;
        expect(firstWord(one)).toBe(1n);
      });
    });

    describe('a call', () => {
      test('has a generation and is active over its runs until it is ended', async () => {
        const vm = await create(programs.ASK_AND_TELL);
        const { interrupt } = vm;
        const before = interrupt.generation;
        expect(interrupt.callActive).toBe(false);
        await enter(vm, {}, { startsCall: true });
        expect([interrupt.callActive, interrupt.generation]).toEqual([true, before + 1n]);
        await goOn(vm);
        await goOn(vm);
        expect([interrupt.callActive, interrupt.generation]).toEqual([true, before + 1n]);
        vm.endCall();
        vm.endCall();
        expect([interrupt.callActive, interrupt.generation]).toEqual([false, before + 1n]);
        await enter(vm);
        expect([interrupt.callActive, interrupt.generation]).toEqual([false, before + 1n]);
      });

      test('is killed while the guest runs', async () => {
        const [vm, other] = [await create(programs.COUNT_AND_SPIN), await create(programs.HALT)];
        const running = enter(vm, {}, { startsCall: true });
        // Time for the other slot to enter its guest.
        for (let round = 0; round < 20; round++) await enter(other);
        expect(vm.interrupt.kill()).toBe(true);
        const answer = await running;
        expect(answer.exit).toEqual({ kind: 'cancelled', by: 'kill' });
        expect(firstWord(vm)).toBe(1n);
      });

      test('that waits for the host is not entered again once it is killed', async () => {
        const vm = await create(programs.COUNT_ASK_COUNT);
        await enter(vm, {}, { startsCall: true });
        expect(vm.interrupt.kill()).toBe(true);
        expect((await goOn(vm)).exit).toEqual({ kind: 'cancelled', by: 'kill' });
        expect(firstWord(vm)).toBe(1n);
      });

      test('is not reached by a kill before it, and an ended one is not killed', async () => {
        const vm = await create(programs.COUNT);
        expect(vm.interrupt.kill()).toBe(false);
        expect((await enter(vm, {}, { startsCall: true })).exit).toEqual({ kind: 'halt' });
        expect(vm.interrupt.kill()).toBe(true);
        vm.endCall();
        expect(vm.interrupt.kill()).toBe(false);
        expect((await enter(vm, {}, { startsCall: true })).exit).toEqual({ kind: 'halt' });
        vm.endCall();
        expect(firstWord(vm)).toBe(2n);
      });

      test('that was killed leaves a VM that runs the next one', async () => {
        const vm = await create(programs.COUNT_AND_SPIN);
        for (let round = 1; round <= 10; round++) {
          const running = enter(vm, { rip: BigInt(code) }, { startsCall: true });
          vm.interrupt.kill();
          expect((await running).exit).toEqual({ kind: 'cancelled', by: 'kill' });
          vm.endCall();
        }
        expect(firstWord(vm)).toBeLessThanOrEqual(10n);
      });

      test('a run outside a call is not killed', async () => {
        const vm = await create(programs.SPIN);
        const running = enter(vm, {}, { deadlineUs: 20_000 });
        expect(vm.interrupt.kill()).toBe(false);
        expect((await running).exit).toEqual({ kind: 'cancelled', by: 'deadline' });
      });
    });

    describe('a deadline', () => {
      test('ends a guest that runs', async () => {
        const vm = await create(programs.SPIN);
        for (const startsCall of [true, false]) {
          const answer = await enter(vm, {}, { startsCall, deadlineUs: 10_000 });
          expect(answer.exit).toEqual({ kind: 'cancelled', by: 'deadline' });
          expect(answer.phases.runNs).toBeGreaterThan(0);
          vm.endCall();
        }
      });

      test('ends a guest that keeps asking the host, over all runs of its call', async () => {
        const vm = await create(programs.ASK_FOR_EVER);
        let answer = await enter(vm, {}, { startsCall: true, deadlineUs: 10_000 });
        while (answer.exit.kind === 'io-out') answer = await vm.run({});
        expect(answer.exit).toEqual({ kind: 'cancelled', by: 'deadline' });
      });

      test('that passed while the host worked ends the call at its next run', async () => {
        const [vm, clock] = [await create(programs.ASK_AND_TELL), await create(programs.SPIN)];
        await enter(vm, {}, { startsCall: true, deadlineUs: 5_000 });
        await enter(clock, {}, { deadlineUs: 10_000 });
        expect((await vm.run({})).exit).toEqual({ kind: 'cancelled', by: 'deadline' });
      });

      test('of one call does not reach the next', async () => {
        const [vm, clock] = [await create(programs.ASK_AND_TELL), await create(programs.SPIN)];
        await enter(vm, {}, { startsCall: true, deadlineUs: 5_000 });
        vm.endCall();
        await enter(clock, {}, { deadlineUs: 10_000 });
        expect((await enter(vm, {}, { startsCall: true, deadlineUs: 0 })).exit).toMatchObject({ port: 200 });
        expect((await vm.run({})).exit).toMatchObject({ port: 201 });
      });
    });

    describe('a snapshot', () => {
      test('is what restore returns to, page by page', async () => {
        const vm = await create(programs.STORE_PAGES);
        const haltAt = { rip: BigInt(code + programs.STORE_PAGES.code.byteLength - 1) };
        vm.write(data, word(77n));
        // A driver may change the code once at the first `hlt`.
        await enter(vm, haltAt);
        await vm.snapshot();
        const before = vm.read(0, PLACE.memoryBytes);
        const dirty = { rax: 1n, rdi: BigInt(data), rsi: 0x1000n, rcx: 2n };
        expect((await enter(vm, dirty)).exit).toEqual({ kind: 'halt' });
        vm.write(PLACE.stack, word(5n));
        expect(Buffer.compare(vm.read(0, PLACE.memoryBytes), before)).not.toBe(0);
        const answer = await enter(vm, { ...dirty, rcx: 1n }, { restore: true });
        expect(answer.dirtyPages).toBeGreaterThanOrEqual(3);
        expect(answer.dirtyPages).toBeLessThanOrEqual(8);
        await enter(vm, haltAt, { restore: true });
        expect(vm.read(0, PLACE.memoryBytes)).toEqual(before);
      });

      test('is needed for a restore', async () => {
        const vm = await create(programs.COUNT);
        await expect(enter(vm, {}, { restore: true })).rejects.toThrow(error('MAYFLY_ERR_VM_REQUEST'));
        expect((await enter(vm)).exit).toEqual({ kind: 'halt' });
      });

      test('is restored before the stores of the request', async () => {
        const vm = await create(programs.COUNT);
        await vm.snapshot();
        await enter(vm);
        await enter(vm, {}, { restore: true, writes: [{ address: data, bytes: word(10n) }] });
        expect(firstWord(vm)).toBe(11n);
        await enter(vm, {}, { restore: true });
        expect(firstWord(vm)).toBe(1n);
      });

      test('of a guest at an OUT goes on from there, again and again', async () => {
        const vm = await create(programs.COUNT_ASK_COUNT);
        await enter(vm);
        await vm.snapshot();
        for (let round = 0; round < 3; round++) {
          expect((await goOn(vm, round === 0 ? {} : { restore: true })).exit).toEqual({ kind: 'halt' });
          expect(firstWord(vm)).toBe(2n);
        }
      });

      test('moves the base: the latest one counts', async () => {
        const vm = await create(programs.COUNT);
        const first = await vm.snapshot();
        await enter(vm);
        await vm.snapshot();
        await enter(vm, {}, { restore: true });
        expect(firstWord(vm)).toBe(2n);
        await vm.restore(first);
        expect(firstWord(vm)).toBe(0n);
        await enter(vm, {}, { restore: true });
        await enter(vm, {}, { restore: true });
        expect(firstWord(vm)).toBe(1n);
      });

      test('makes other VMs, which share nothing and outlive it', async () => {
        const vm = await create(programs.COUNT);
        await enter(vm);
        const snapshot = await vm.snapshot();
        expect(snapshot.memoryBytes).toBe(PLACE.memoryBytes);
        const [one, other] = [
          await under.driver.createVmFromSnapshot(snapshot),
          await under.driver.createVmFromSnapshot(snapshot),
        ];
        onTestFinished(() => one.close());
        onTestFinished(() => other.close());
        snapshot.close();
        snapshot.close();
        await vm.close();
        await enter(one);
        await enter(one);
        expect([firstWord(one), firstWord(other)]).toEqual([3n, 1n]);
        await enter(one, {}, { restore: true });
        expect(firstWord(one)).toBe(2n);
      });

      test('of another plan is refused', async () => {
        const vm = await create(programs.HALT);
        const plan = planOf(programs.HALT);
        const stranger = await create(programs.HALT, { ...plan, regions: plan.regions.slice(0, 3) });
        const snapshot = await stranger.snapshot();
        await expect(vm.restore(snapshot)).rejects.toThrow(error('MAYFLY_ERR_VM_SNAPSHOT_MISMATCH'));
        await expect(vm.restore({ memoryBytes: 1, close() {} })).rejects.toThrow(
          error('MAYFLY_ERR_VM_SNAPSHOT_MISMATCH'),
        );
        expect((await enter(vm)).exit).toEqual({ kind: 'halt' });
      });
    });

    describe('a warm snapshot', () => {
      const untouched = [{ address: data, lengthBytes: 8 }];
      const entry = { rip: BigInt(code), rsp: BigInt(PLACE.stackTop - 0x28) };
      const prime = (vm: DriverVm, ranges: readonly AddressRange[] = untouched, deadlineUs = LONG_US) =>
        (vm.primeSnapshot as NonNullable<DriverVm['primeSnapshot']>)({
          entry,
          untouched: ranges,
          deadlineUs,
        });
      const wordAt = (vm: DriverVm, address: number) => Buffer.from(vm.read(address, 8)).readBigUInt64LE();
      const copy = async (vm: DriverVm, value: bigint) => {
        const answer = await vm.run({
          restore: true,
          writes: [{ address: data, bytes: word(value) }],
          startsCall: true,
          deadlineUs: LONG_US,
        });
        vm.endCall();
        expect(answer.exit).toEqual({ kind: 'halt' });
        return [wordAt(vm, data + 8), wordAt(vm, PLACE.stack)];
      };

      test('stands before the first touch, and calls go on from there with their own input', async () => {
        const vm = await create(programs.COUNT_THEN_COPY);
        await vm.snapshot();
        expect(await prime(vm)).toBeDefined();
        expect(wordAt(vm, PLACE.stack)).toBe(1n);
        for (const value of [7n, 8n, 2n ** 64n - 1n]) expect(await copy(vm, value)).toEqual([value, 1n]);
      });

      test('makes other VMs, and a VM goes back and forth between it and the plain one', async () => {
        const vm = await create(programs.COUNT_THEN_COPY);
        const plain = await vm.snapshot();
        const warm = (await prime(vm)) as DriverSnapshot;
        const clone = await under.driver.createVmFromSnapshot(warm);
        onTestFinished(() => clone.close());
        for (let round = 0; round < 2; round++) {
          expect(await copy(clone, 3n)).toEqual([3n, 1n]);
          await clone.restore(plain);
          expect(wordAt(clone, PLACE.stack)).toBe(0n);
          expect((await enter(clone, {}, { restore: true })).exit).toEqual({ kind: 'halt' });
          expect(wordAt(clone, PLACE.stack)).toBe(1n);
          await clone.restore(warm);
        }
        expect(await copy(vm, 4n)).toEqual([4n, 1n]);
      });

      test('is not taken of a guest that does anything else first, and the plain base stands', async () => {
        for (const program of [
          programs.HALT,
          programs.ASK_FOR_EVER,
          programs.UNDEFINED,
          programs.DIVIDE_BY_ZERO,
        ]) {
          const vm = await create(program);
          await vm.snapshot();
          expect(await prime(vm), program.name).toBeUndefined();
          const { exit } = await enter(vm, {}, { restore: true });
          expect(['halt', 'io-out', 'exception']).toContain(exit.kind);
        }
        const vm = await create(programs.SPIN);
        await vm.snapshot();
        expect(await prime(vm, untouched, 5_000)).toBeUndefined();
      });

      test('needs a base, and 1 to 16 ranges of guest memory', async () => {
        const vm = await create(programs.COUNT_THEN_COPY);
        await expect(prime(vm)).rejects.toThrow(error('MAYFLY_ERR_VM_REQUEST'));
        await vm.snapshot();
        await expect(prime(vm, [])).rejects.toThrow(error('MAYFLY_ERR_VM_REQUEST'));
        await expect(prime(vm, Array(17).fill(untouched[0]))).rejects.toThrow(error('MAYFLY_ERR_VM_REQUEST'));
        for (const range of [
          { address: PLACE.memoryBytes, lengthBytes: 8 },
          { address: data, lengthBytes: PLACE.memoryBytes },
          { address: data, lengthBytes: 0 },
        ])
          await expect(prime(vm, [range])).rejects.toThrow(error('MAYFLY_ERR_VM_RANGE'));
        expect(await prime(vm)).toBeDefined();
      });
    });

    describe('a comparison with the base', () => {
      test('restores first and finds nothing, whatever was changed', async () => {
        const vm = await create(programs.COUNT);
        const compare = () => (vm.compareWithBase as NonNullable<DriverVm['compareWithBase']>)();
        await expect(compare()).rejects.toThrow(error('MAYFLY_ERR_VM_REQUEST'));
        await vm.snapshot();
        await enter(vm);
        vm.write(PLACE.stack, word(5n));
        expect(await compare()).toBe(0);
        expect([firstWord(vm), vm.read(PLACE.stack, 8)]).toEqual([0n, word(0n)]);
        expect((await enter(vm, {}, { restore: true })).exit).toEqual({ kind: 'halt' });
      });
    });

    describe('the ports served on the thread', () => {
      const scalar = (character: string) => BigInt(character.codePointAt(0) as number);

      test('103 fills the outbox in order', async () => {
        const vm = await create(programs.SEND_THREE);
        const answer = await enter(vm, { rdx: 103n, rax: scalar('a'), rbx: scalar('🦋'), rcx: scalar('c') });
        expect(answer.exit).toEqual({ kind: 'halt' });
        expect(outboxText(answer)).toBe('a🦋c');
      });

      test('99 pops one record off the output buffer, byte for byte', async () => {
        const vm = await create(programs.SEND_THREE);
        const records = [1, 2, 3].map((fill) => record(fill, 4 * fill));
        const answer = await enter(
          vm,
          { rdx: 99n },
          { writes: [{ address: PLACE.output, bytes: stackOf(records) }] },
        );
        expect(answer.exit).toEqual({ kind: 'halt' });
        expect(answer.outbox.map(({ port, bytes }) => [port, Buffer.from(bytes)])).toEqual(
          records.reverse().map((bytes) => [99, bytes]),
        );
        expect(Buffer.from(vm.read(PLACE.output, 8)).readBigUInt64LE()).toBe(8n);
      });

      const lies: [string, (stack: Buffer) => void][] = [
        ['an empty buffer', (stack) => stack.writeBigUInt64LE(8n, 0)],
        ['a stack pointer of 0', (stack) => stack.writeBigUInt64LE(0n, 0)],
        ['a stack pointer past the buffer', (stack) => stack.writeBigUInt64LE(BigInt(OUTPUT_BYTES + 1), 0)],
        ['a stack pointer of 2^64-1', (stack) => stack.writeBigUInt64LE(2n ** 64n - 1n, 0)],
        ['a back pointer of 0', (stack) => stack.writeBigUInt64LE(0n, 24)],
        ['a back pointer past the element', (stack) => stack.writeBigUInt64LE(24n, 24)],
        ['a back pointer of 2^64-4', (stack) => stack.writeBigUInt64LE(2n ** 64n - 4n, 24)],
        ['a length past the element', (stack) => stack.writeUInt32LE(13, 8)],
        ['a length of 2^32-1', (stack) => stack.writeUInt32LE(2 ** 32 - 1, 8)],
      ];
      test.each(lies)('99 with %s is a protocol exit', async (_label, lie) => {
        const vm = await create(programs.SEND_THREE);
        const stack = stackOf([record(1, 12)]);
        lie(stack);
        const answer = await enter(vm, { rdx: 99n }, { writes: [{ address: PLACE.output, bytes: stack }] });
        expect(answer.exit).toEqual({ kind: 'protocol', reason: expect.stringMatching(/./) });
      });

      test('102 settles once, at the terminator, with the bytes before it', async () => {
        const vm = await create(programs.SEND_THREE);
        const answer = await enter(vm, { rdx: 102n, rax: 0x6968_0f03n, rbx: 0x2101n, rcx: 0xff01n });
        expect(answer.exit).toMatchObject({ kind: 'io-out', port: 102 });
        expect(answer.outbox).toEqual([{ port: 102, bytes: expect.anything() }]);
        expect(Buffer.from(answer.outbox[0]?.bytes ?? [])).toEqual(Buffer.from([0x0f, 0x68, 0x69, 0x21]));
      });

      test('102 takes three bytes at most of a value, and forgets an abort that an entry cut short', async () => {
        const vm = await create(programs.SEND_THREE);
        expect((await enter(vm, { rdx: 102n, rax: 0x6161_61ffn })).exit).toEqual({ kind: 'halt' });
        const answer = await enter(vm, { rdx: 102n, rax: 0x6262_62fen, rbx: 0xff01n });
        expect(Buffer.from(answer.outbox[0]?.bytes ?? []).toString()).toBe('bbb');
      });

      test('102 without an end overflows into an abort that says so', async () => {
        const vm = await create(programs.FLOOD);
        const answer = await enter(vm, { rdx: 102n, rax: 0x7878_7803n });
        expect(answer.exit).toMatchObject({ kind: 'io-out', port: 102 });
        expect(Buffer.from(answer.outbox.at(-1)?.bytes ?? []).toString()).toBe(
          '\0Guest abort buffer overflowed',
        );
      });

      test('a flood is capped and counted, and ends by the deadline or as a protocol exit', async () => {
        const vm = await create(programs.FLOOD);
        const answer = await enter(
          vm,
          { rdx: 103n, rax: 0x61n },
          { startsCall: true, deadlineUs: 2_000_000 },
        );
        expect(['cancelled', 'protocol']).toContain(answer.exit.kind);
        expect(answer.outboxDropped).toBeGreaterThan(0);
        expect(answer.outbox.length).toBeLessThan(100_000);
      });

      test('without an output buffer leave the guest like any other', async () => {
        const vm = await create(programs.SEND_THREE, planOf(programs.SEND_THREE, false));
        const answer = await enter(vm, { rdx: 103n, rax: 0x61n });
        expect(answer).toMatchObject({ exit: { kind: 'io-out', port: 103, value: 0x61 }, outbox: [] });
      });
    });

    describe('close', () => {
      test('ends what runs as killed, is idempotent, and drops the VM', async () => {
        const vm = await create(programs.SPIN);
        const running = enter(vm, {}, { startsCall: true });
        const closing = vm.close();
        expect(vm.close()).toBe(closing);
        expect((await running).exit).toEqual({ kind: 'cancelled', by: 'kill' });
        await closing;
        expect(vm.interrupt.dropped).toBe(true);
        expect(vm.interrupt.kill()).toBe(vm.interrupt.callActive);
      });

      test('leaves nothing that can be done with a VM', async () => {
        const vm = await create(programs.HALT);
        const snapshot = await vm.snapshot();
        await vm.close();
        const closed = error('MAYFLY_ERR_VM_CLOSED');
        expect(() => vm.read(0, 1)).toThrow(closed);
        expect(() => vm.write(0, new Uint8Array(1))).toThrow(closed);
        await expect(enter(vm)).rejects.toThrow(closed);
        await expect(vm.snapshot()).rejects.toThrow(closed);
        await expect(vm.restore(snapshot)).rejects.toThrow(closed);
        vm.endCall();
      });

      test('of a driver closes its VMs and refuses new ones; idempotent', async () => {
        const own = await start();
        own.load(programs.SPIN);
        const vm = await own.driver.createVm(planOf(programs.SPIN));
        const running = enter(vm, {}, { startsCall: true }).then(
          ({ exit }) => exit.kind,
          (reason: { code?: string }) => reason.code,
        );
        const closing = own.driver.close();
        expect(own.driver.close()).toBe(closing);
        await closing;
        expect(await running).toMatch(/^(cancelled|MAYFLY_ERR_(VM|DRIVER)_CLOSED)$/);
        await expect(own.driver.createVm(planOf(programs.SPIN))).rejects.toThrow(
          error('MAYFLY_ERR_DRIVER_CLOSED'),
        );
      });
    });
  });
}

function outboxText({ outbox }: RunAnswer): string {
  return outbox
    .map(({ port, bytes }) => (port === 103 ? String.fromCodePoint(Buffer.from(bytes).readUInt32LE()) : '?'))
    .join('');
}

/** An element of an I/O stack: a length prefix and that many bytes. */
function record(fill: number, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(4 + lengthBytes, fill);
  bytes.writeUInt32LE(lengthBytes, 0);
  return bytes;
}

/** An output buffer that holds the elements, the last one on top (guest-abi 6). */
function stackOf(elements: readonly Buffer[]): Buffer {
  const pieces: Buffer[] = [Buffer.alloc(8)];
  let top = 8;
  for (const element of elements) {
    pieces.push(element, Buffer.from(word(BigInt(top))));
    top += element.byteLength + 8;
  }
  const stack = Buffer.concat(pieces);
  stack.writeBigUInt64LE(BigInt(top), 0);
  return stack;
}
