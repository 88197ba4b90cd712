import {
  createKvmDriver,
  type DriverVm,
  type HypervisorDriver,
  type RunRequest,
  type VmPlan,
} from '@mayfly/hypervisor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  bytesOfU64,
  CODE,
  call,
  DATA,
  entry,
  MEMORY_BYTES,
  makeVm,
  noKvm,
  OUTPUT,
  planOf,
  STACK_TOP,
  u64,
} from './guest.js';

describe.skipIf(noKvm !== undefined)(`KVM driver${noKvm === undefined ? '' : ` (skipped: ${noKvm})`}`, () => {
  let driver: HypervisorDriver;
  beforeAll(async () => {
    driver = await createKvmDriver();
  });
  afterAll(() => driver?.close());

  describe('warm snapshots', () => {
    const INPUT = DATA + 0x3000;
    const untouched = [{ address: INPUT, lengthBytes: 8 }];

    it('go on from the first touch of the input, with one exit a call, in every VM made from them', async () => {
      const vm = await makeVm(driver, 'addOne');
      await call(vm);
      const plain = await vm.snapshot();
      const warm = await vm.primeSnapshot?.({ entry: entry(77n), untouched });
      if (warm === undefined) throw new Error('no warm snapshot');
      const clone = await driver.createVmFromSnapshot(warm);
      for (const each of [vm, clone])
        for (const input of [5n, 6n]) {
          const answer = await each.run({
            restore: true,
            startsCall: true,
            writes: [{ address: INPUT, bytes: bytesOfU64(input) }],
          });
          each.endCall();
          expect(answer.exit).toEqual({ kind: 'halt' });
          expect(answer.exits).toBe(1);
          expect(u64(each.read(DATA, 8))).toBe(input + 1n);
          expect(u64(each.read(DATA + 8, 8))).toBe(77n);
        }
      expect(await vm.compareWithBase?.()).toBe(0);
      await Promise.all([vm.close(), clone.close()]);
      plain.close();
      warm.close();
    });

    it('are not taken of a guest that does anything else first', async () => {
      for (const name of ['hostCall', 'spin', 'storeAndHalt'] as const) {
        const vm = await makeVm(driver, name);
        const plain = await vm.snapshot();
        expect(await vm.primeSnapshot?.({ entry: entry(), untouched, deadlineUs: 5000 })).toBeUndefined();
        await expect(vm.run({ restore: true })).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_REQUEST' });
        await vm.close();
        plain.close();
      }
    });

    it('need a base, and ranges of guest memory', async () => {
      const vm = await makeVm(driver, 'addOne');
      const prime = (address: number, lengthBytes: number) =>
        vm.primeSnapshot?.({ entry: entry(), untouched: [{ address, lengthBytes }] });
      await expect(prime(INPUT, 8)).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_REQUEST' });
      await expect(vm.compareWithBase?.()).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_REQUEST' });
      const plain = await vm.snapshot();
      await expect(prime(MEMORY_BYTES, 8)).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_RANGE' });
      await expect(prime(-1, 8)).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_RANGE' });
      await expect(prime(INPUT, 0)).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_RANGE' });
      await vm.close();
      plain.close();
    });
  });

  describe('guests built for ring 0', () => {
    const ring0Plan = (name: Parameters<typeof planOf>[0]): VmPlan => ({
      ...planOf(name),
      ring0: { pageTablesBytes: 0x8000 },
    });

    it('have privileged instructions done for them, and refused by name where they are not', async () => {
      const vm = await driver.createVm(ring0Plan('ring0'));
      const answer = await call(vm);
      expect(answer.exit).toEqual({
        kind: 'unsupported-instruction',
        name: 'rdmsr',
        bytes: Uint8Array.of(0x0f, 0x32, ...new Uint8Array(13)),
        rip: BigInt(CODE + 6),
      });
      expect(answer.regs.rax).toBe(0x620n);
      expect(answer.exits).toBe(3);
      await vm.close();
    });

    it('keep their exceptions while they have no table for them', async () => {
      const vm = await driver.createVm(ring0Plan('undefined'));
      expect((await call(vm)).exit).toMatchObject({ kind: 'exception', vector: 6, rip: BigInt(CODE) });
      await vm.close();
    });

    it('have a plan whose regions leave their page tables free', async () => {
      for (const pageTablesBytes of [0, 100, CODE + 0x1000, 2 ** 31])
        await expect(
          driver.createVm({ ...planOf('ring0'), ring0: { pageTablesBytes } }),
        ).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_PLAN' });
    });

    it('are exceptions in a plan without ring 0', async () => {
      const vm = await makeVm(driver, 'ring0');
      expect((await call(vm)).exit).toMatchObject({ kind: 'exception', vector: 13 });
      await vm.close();
    });
  });

  describe('exits', () => {
    it('settles a halt with registers, times and one exit', async () => {
      const vm = await makeVm(driver, 'storeAndHalt');
      const answer = await call(vm, { entry: entry(0x1122334455667788n) });
      expect(answer.exit).toEqual({ kind: 'halt' });
      expect(answer.regs).toMatchObject({ rip: BigInt(CODE + 8), rdi: 0x1122334455667788n, rax: 0n });
      expect(answer.exits).toBe(1);
      expect(answer.phases.runNs).toBeGreaterThan(0);
      expect(answer.phases.queuedNs).toBeGreaterThan(0);
      expect(answer.phases.restoreNs).toBe(0);
      expect(u64(vm.read(DATA, 8))).toBe(0x1122334455667788n);
      await vm.close();
    });

    it('settles an OUT, and goes on after the host has written', async () => {
      const vm = await makeVm(driver, 'hostCall');
      const first = await vm.run({ entry: entry(5n), startsCall: true });
      expect(first.exit).toEqual({ kind: 'io-out', port: 0x65, sizeBytes: 1, value: 0 });
      expect(vm.interrupt.callActive).toBe(true);
      const second = await vm.run({ writes: [{ address: DATA + 8, bytes: Uint8Array.of(1, 2, 3) }] });
      vm.endCall();
      expect(second.exit).toEqual({ kind: 'halt' });
      expect(u64(vm.read(DATA, 8))).toBe(5n);
      expect([...vm.read(DATA + 8, 4)]).toEqual([1, 2, 3, 0]);
      await vm.close();
    });

    it('settles exceptions with vector, error code, rip and address', async () => {
      const undefinedInstruction = await makeVm(driver, 'undefined');
      expect((await call(undefinedInstruction)).exit).toEqual({
        kind: 'exception',
        vector: 6,
        errorCode: 0n,
        rip: BigInt(CODE),
        address: 0n,
      });
      const nullRead = await makeVm(driver, 'nullRead');
      expect((await call(nullRead)).exit).toEqual({
        kind: 'exception',
        vector: 14,
        errorCode: 4n,
        rip: BigInt(CODE),
        address: 0x10n,
      });
      await Promise.all([undefinedInstruction.close(), nullRead.close()]);
    });

    it('settles an IN', async () => {
      const vm = await makeVm(driver, 'input');
      expect((await call(vm, { entry: { ...entry(), rdx: 0x70n } })).exit).toEqual({
        kind: 'io-in',
        port: 0x70,
        sizeBytes: 1,
      });
      await vm.close();
    });

    it('brings log records and debug characters in the outbox, in order', async () => {
      const vm = await makeVm(driver, 'logs');
      const record = Uint8Array.of(5, 0, 0, 0, 1, 2, 3, 4, 5);
      vm.write(OUTPUT + 8, record);
      vm.write(OUTPUT + 8 + record.length, bytesOfU64(8n));
      vm.write(OUTPUT, bytesOfU64(BigInt(16 + record.length)));
      const answer = await call(vm);
      expect(answer.exit).toEqual({ kind: 'halt' });
      expect(answer.outbox).toEqual([
        { port: 99, bytes: record },
        { port: 103, bytes: Uint8Array.of(0x41, 0, 0, 0) },
      ]);
      expect(answer.outboxDropped).toBe(0);
      await vm.close();
    });

    it('settles a malformed log record as a protocol fault with its reason', async () => {
      const vm = await makeVm(driver, 'logs');
      const answer = await call(vm);
      expect(answer.exit).toMatchObject({
        kind: 'protocol',
        reason: expect.stringContaining('stack pointer'),
      });
      await vm.close();
    });
  });

  describe('restore', () => {
    it('brings memory back before the writes of its request', async () => {
      const vm = await makeVm(driver, 'storeAndHalt');
      await call(vm, { entry: entry(1n) });
      const snapshot = await vm.snapshot();
      expect(snapshot.memoryBytes).toBe(MEMORY_BYTES);
      await call(vm, { entry: entry(2n) });
      const answer = await call(vm, {
        restore: true,
        entry: entry(3n),
        writes: [{ address: DATA + 8, bytes: bytesOfU64(9n) }],
      });
      expect(answer.dirtyPages).toBe(1);
      expect(answer.phases.restoreNs).toBeGreaterThan(0);
      expect(u64(vm.read(DATA, 8))).toBe(3n);
      expect(u64(vm.read(DATA + 8, 8))).toBe(9n);
      await vm.restore(snapshot);
      expect(u64(vm.read(DATA, 8))).toBe(1n);
      expect(u64(vm.read(DATA + 8, 8))).toBe(0n);
      snapshot.close();
      snapshot.close();
      await vm.close();
    });

    it('makes VMs from a snapshot, which outlive its close', async () => {
      const vm = await makeVm(driver, 'storeAndHalt');
      await call(vm, { entry: entry(7n) });
      const snapshot = await vm.snapshot();
      const clones = await Promise.all([1, 2, 3].map(() => driver.createVmFromSnapshot(snapshot)));
      snapshot.close();
      await vm.close();
      for (const [i, clone] of clones.entries()) {
        expect(u64(clone.read(DATA, 8))).toBe(7n);
        await call(clone, { restore: true, entry: entry(BigInt(100 + i)) });
      }
      expect(clones.map((clone) => u64(clone.read(DATA, 8)))).toEqual([100n, 101n, 102n]);
      await expect(driver.createVmFromSnapshot(snapshot)).rejects.toMatchObject({
        code: 'MAYFLY_ERR_VM_CLOSED',
      });
      await Promise.all(clones.map((clone) => clone.close()));
    });

    it('refuses a snapshot of another plan, of another driver, and a restore without one', async () => {
      const vm = await makeVm(driver, 'storeAndHalt');
      await expect(call(vm, { restore: true })).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_REQUEST' });
      const other = await driver.createVm({ memoryBytes: 0x2000, regions: [], load: [] });
      const snapshot = await other.snapshot();
      await expect(vm.restore(snapshot)).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_SNAPSHOT_MISMATCH' });
      const foreign = { memoryBytes: MEMORY_BYTES, close() {} };
      await expect(vm.restore(foreign)).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_SNAPSHOT_MISMATCH' });
      await expect(driver.createVmFromSnapshot(foreign)).rejects.toMatchObject({
        code: 'MAYFLY_ERR_VM_SNAPSHOT_MISMATCH',
      });
      expect((await call(vm)).exit.kind).toBe('halt');
      await Promise.all([vm.close(), other.close()]);
    });
  });

  describe('interrupt', () => {
    it('kills a spinning guest while the event loop stays free, and the next call runs', async () => {
      const vm = await makeVm(driver, 'spin');
      for (let i = 1; i <= 3; i++) {
        const running = call(vm);
        expect(vm.interrupt.callActive).toBe(true);
        await new Promise((resolve) => setImmediate(resolve));
        expect(vm.interrupt.kill()).toBe(true);
        expect((await running).exit).toEqual({ kind: 'cancelled', by: 'kill' });
        expect(vm.interrupt.generation).toBe(BigInt(i));
        expect(vm.interrupt.kill()).toBe(false);
      }
      await vm.close();
    });

    it('ends a guest at its deadline though the event loop is busy', async () => {
      const vm = await makeVm(driver, 'spin');
      const running = call(vm, { deadlineUs: 2_000 });
      const until = performance.now() + 50;
      while (performance.now() < until);
      const { exit, phases } = await running;
      expect(exit).toEqual({ kind: 'cancelled', by: 'deadline' });
      expect(phases.runNs).toBeGreaterThanOrEqual(2_000_000);
      await vm.close();
    });

    it('cancels the next entry of a call that is killed during its host function', async () => {
      const vm = await makeVm(driver, 'hostCall');
      await vm.run({ entry: entry(), startsCall: true });
      expect(vm.interrupt.kill()).toBe(true);
      const answer = await vm.run({});
      vm.endCall();
      expect(answer.exit).toEqual({ kind: 'cancelled', by: 'kill' });
      expect(answer.exits).toBe(0);
      await expect(vm.run({})).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_REQUEST' });
      await vm.close();
    });

    it('is dropped with its VM and can then be used without harm', async () => {
      const vm = await makeVm(driver, 'spin');
      const { interrupt } = vm;
      expect(interrupt.dropped).toBe(false);
      await vm.close();
      expect(interrupt.dropped).toBe(true);
      expect(interrupt.kill()).toBe(false);
    });
  });

  describe('misuse', () => {
    it('refuses a second operation while one is under way', async () => {
      const vm = await makeVm(driver, 'spin');
      const running = call(vm);
      const busy = { code: 'MAYFLY_ERR_VM_BUSY' };
      await expect(vm.run({ entry: entry() })).rejects.toMatchObject(busy);
      await expect(vm.snapshot()).rejects.toMatchObject(busy);
      expect(() => vm.read(0, 1)).toThrowError(expect.objectContaining(busy));
      expect(() => vm.write(0, Uint8Array.of(1))).toThrowError(expect.objectContaining(busy));
      // The refused run ended no call.
      expect(vm.interrupt.kill()).toBe(true);
      await running;
      await vm.close();
    });

    it('closes a VM whose guest runs, settles the run as cancelled, and closes once', async () => {
      const vm = await makeVm(driver, 'spin');
      const running = vm.run({ entry: entry() });
      const closing = vm.close();
      expect(vm.close()).toBe(closing);
      expect((await running).exit).toEqual({ kind: 'cancelled', by: 'kill' });
      await closing;
      const closed = { code: 'MAYFLY_ERR_VM_CLOSED' };
      await expect(vm.run({ entry: entry() })).rejects.toMatchObject(closed);
      await expect(vm.snapshot()).rejects.toMatchObject(closed);
      expect(() => vm.read(0, 1)).toThrowError(expect.objectContaining(closed));
      expect(() => vm.write(0, Uint8Array.of(1))).toThrowError(expect.objectContaining(closed));
      vm.endCall();
    });

    const badPlans: [string, Partial<VmPlan>][] = [
      ['no memory', { memoryBytes: 0 }],
      ['half a page', { memoryBytes: 2048 }],
      ['above 1 GiB', { memoryBytes: 2 ** 30 + 4096 }],
      ['memory that is no number', { memoryBytes: Number.NaN }],
      ['a region off its page', { regions: [{ address: 1, lengthBytes: 4096, rights: 1 }] }],
      ['a negative region', { regions: [{ address: -4096, lengthBytes: 4096, rights: 1 }] }],
      ['an empty region', { regions: [{ address: 0, lengthBytes: 0, rights: 1 }] }],
      ['a region beyond memory', { regions: [{ address: 0, lengthBytes: 2 ** 31, rights: 1 }] }],
      ['unknown rights', { regions: [{ address: 0, lengthBytes: 4096, rights: 16 }] }],
      [
        'overlapping regions',
        {
          regions: [
            { address: 0, lengthBytes: 8192, rights: 1 },
            { address: 4096, lengthBytes: 4096, rights: 1 },
          ],
        },
      ],
      ['bytes beyond memory', { load: [{ address: MEMORY_BYTES, bytes: Uint8Array.of(1) }] }],
      ['bytes at a fraction', { load: [{ address: 0.5, bytes: Uint8Array.of(1) }] }],
      ['bytes that are none', { load: [{ address: 0, bytes: 'abc' as unknown as Uint8Array }] }],
      ['an output buffer beyond memory', { outputBuffer: { address: MEMORY_BYTES, lengthBytes: 16 } }],
    ];
    it.each(badPlans)('refuses a plan with %s', async (_name, change) => {
      const plan = { ...planOf('spin'), ...change };
      await expect(driver.createVm(plan)).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_PLAN' });
    });

    const badRequests: [string, RunRequest, string][] = [
      ['a run without entry', {}, 'MAYFLY_ERR_VM_REQUEST'],
      ['a fractional deadline', { entry: entry(), deadlineUs: 0.5 }, 'MAYFLY_ERR_VM_REQUEST'],
      ['a negative deadline', { entry: entry(), deadlineUs: -1 }, 'MAYFLY_ERR_VM_REQUEST'],
      [
        'a write beyond memory',
        { entry: entry(), writes: [{ address: MEMORY_BYTES - 1, bytes: Uint8Array.of(1, 2) }] },
        'MAYFLY_ERR_VM_RANGE',
      ],
      [
        'a write at no address',
        { entry: entry(), writes: [{ address: Number.POSITIVE_INFINITY, bytes: Uint8Array.of(1) }] },
        'MAYFLY_ERR_VM_REQUEST',
      ],
    ];
    it.each(badRequests)('refuses %s, and runs afterwards', async (_name, request, code) => {
      const vm = await makeVm(driver, 'storeAndHalt');
      await expect(vm.run(request)).rejects.toMatchObject({ code });
      expect((await call(vm)).exit.kind).toBe('halt');
      await vm.close();
    });

    it.each([
      [-1, 1],
      [MEMORY_BYTES, 1],
      [MEMORY_BYTES - 1, 2],
      [0, MEMORY_BYTES + 1],
      [0, -1],
      [0.5, 1],
      [Number.NaN, 1],
    ])('refuses to read at %d, %d bytes', async (address, lengthBytes) => {
      const vm = await makeVm(driver, 'storeAndHalt');
      expect(() => vm.read(address, lengthBytes)).toThrowError(
        expect.objectContaining({ code: 'MAYFLY_ERR_VM_RANGE' }),
      );
      await vm.close();
    });

    it.each([
      [{ slots: 0 }],
      [{ slots: 257 }],
      [{ slots: 1.5 }],
      [{ spareShells: -1 }],
      [{ spareShells: 65 }],
      [{ signalOffset: 65 }],
      [{ signalOffset: 60 }],
    ])('refuses options %o', async (options) => {
      await expect(createKvmDriver(options)).rejects.toMatchObject({ code: 'MAYFLY_ERR_VM_REQUEST' });
    });
  });

  describe('a call that waits behind another on its slot', () => {
    /** A slot that is busy with a guest that spins, and a VM on it whose call waits. */
    async function behindASpin(use: (waiting: DriverVm) => Promise<void>) {
      const single = await createKvmDriver({ slots: 1 });
      const [spinning, waiting] = [await makeVm(single, 'spin'), await makeVm(single, 'storeAndHalt')];
      const spin = call(spinning);
      await use(waiting);
      expect(spinning.interrupt.kill()).toBe(true);
      expect((await spin).exit).toEqual({ kind: 'cancelled', by: 'kill' });
      expect((await call(waiting, { entry: entry(8n) })).exit).toEqual({ kind: 'halt' });
      expect(u64(waiting.read(DATA, 8))).toBe(8n);
      await single.close();
    }

    it('settles at once when it is killed', async () => {
      await behindASpin(async (waiting) => {
        const running = call(waiting, { entry: entry(7n) });
        expect(waiting.interrupt.kill()).toBe(true);
        expect(await running).toMatchObject({ exit: { kind: 'cancelled', by: 'kill' }, exits: 0 });
        expect(u64(waiting.read(DATA, 8))).toBe(0n);
      });
    });

    it('is taken back whole, once', async () => {
      await behindASpin(async (waiting) => {
        expect(waiting.revoke?.()).toBe(false);
        const running = call(waiting, { entry: entry(7n) });
        expect([waiting.revoke?.(), waiting.revoke?.()]).toEqual([true, false]);
        expect(await running).toMatchObject({ exit: { kind: 'cancelled', by: 'revoke' }, exits: 0 });
        expect(u64(waiting.read(DATA, 8))).toBe(0n);
      });
    });

    it('is not taken back once it runs', async () => {
      const vm = await makeVm(driver, 'hostCall');
      expect((await vm.run({ entry: entry(7n), startsCall: true })).exit.kind).toBe('io-out');
      const running = vm.run({});
      expect(vm.revoke?.()).toBe(false);
      expect((await running).exit).toEqual({ kind: 'halt' });
      vm.endCall();
      await vm.close();
      expect(vm.revoke?.()).toBe(false);
    });
  });

  describe('many', () => {
    it('passes writes of megabytes whole', async () => {
      const vm = await makeVm(driver, 'storeAndHalt');
      const bytes = Uint8Array.from({ length: 0xf_0000 }, (_, i) => (i * 7) & 0xff);
      await call(vm, { writes: [{ address: DATA + 8, bytes }] });
      expect(Buffer.compare(vm.read(DATA + 8, bytes.length), bytes)).toBe(0);
      await vm.close();
    });

    it('runs a hundred good guests beside a hundred that spin or fault', async () => {
      const vms = await Promise.all(
        Array.from({ length: 200 }, (_, i) =>
          makeVm(driver, i % 2 === 0 ? 'storeAndHalt' : i % 4 === 1 ? 'spin' : 'undefined'),
        ),
      );
      const answers = await Promise.all(
        vms.map((vm, i) => call(vm, { entry: entry(BigInt(i)), deadlineUs: i % 4 === 1 ? 500 : 10_000_000 })),
      );
      answers.forEach(({ exit }, i) => {
        expect(exit.kind).toBe(i % 2 === 0 ? 'halt' : i % 4 === 1 ? 'cancelled' : 'exception');
      });
      for (let i = 0; i < vms.length; i += 2)
        expect(u64((vms[i] as (typeof vms)[0]).read(DATA, 8))).toBe(BigInt(i));
      await Promise.all(vms.map((vm) => vm.close()));
    });

    it('keeps registers of each answer apart', async () => {
      const vm = await makeVm(driver, 'storeAndHalt');
      const first = await call(vm, { entry: entry(1n) });
      const second = await call(vm, { entry: entry(2n) });
      expect(first.regs.rdi).toBe(1n);
      expect(second.regs.rdi).toBe(2n);
      expect(first.regs).toBe(first.regs);
      expect(first.regs.rsp).toBe(BigInt(STACK_TOP - 8));
      await vm.close();
    });
  });

  it('closes with guests that run without end, settles them, and refuses what comes later', async () => {
    const own = await createKvmDriver({ slots: 2, spareShells: 0 });
    const vms = await Promise.all([1, 2, 3].map(() => makeVm(own, 'spin')));
    const idle = await makeVm(own, 'storeAndHalt');
    const runs = vms.map((vm) => vm.run({ entry: entry() }));
    const closing = own.close();
    expect(own.close()).toBe(closing);
    for (const run of runs) expect((await run).exit).toEqual({ kind: 'cancelled', by: 'kill' });
    await closing;
    const closed = { code: 'MAYFLY_ERR_DRIVER_CLOSED' };
    await expect(makeVm(own, 'spin')).rejects.toMatchObject(closed);
    await expect(idle.run({ entry: entry() })).rejects.toMatchObject(closed);
    expect(() => idle.read(0, 1)).toThrowError(expect.objectContaining(closed));
    await idle.close();
    await vms[0]?.close();
    expect(idle.interrupt.dropped).toBe(true);
  });
});
