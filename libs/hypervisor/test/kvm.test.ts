import { existsSync, readFileSync } from 'node:fs';
import type { ReturnType, TypedValue } from '@mayfly/contracts';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  createKvmDriver,
  type HostFunction,
  type HypervisorDriver,
  loadSandbox,
  type Sandbox,
  type SandboxOptions,
} from '../src/index.js';

const GUESTS = new URL('../../../guests/build/', import.meta.url);
const { driver, skipReason } = await start();
afterAll(() => driver?.close());

async function start(): Promise<{ driver?: HypervisorDriver; skipReason: string }> {
  if (!existsSync(new URL('echo.elf', GUESTS))) return { skipReason: 'the guests are not built' };
  try {
    return { driver: await createKvmDriver({ slots: 2 }), skipReason: '' };
  } catch (error) {
    return { skipReason: error instanceof Error ? error.message : String(error) };
  }
}

const int = (value: number) => ({ type: 'int', value }) as const;
const string = (value: string) => ({ type: 'string', value }) as const;

async function guest(name: string, options: SandboxOptions = {}, print?: HostFunction): Promise<Sandbox> {
  const loaded = await loadSandbox(
    driver as HypervisorDriver,
    readFileSync(new URL(`${name}.elf`, GUESTS)),
    options,
  );
  if (print) loaded.registerHostFunction('HostPrint', { params: ['string'], returns: 'int' }, print);
  const sandbox = await loaded.evolve();
  onTestFinished(() => sandbox.close());
  return sandbox;
}

describe.skipIf(!driver)(`the library over KVM${skipReason && ` (skipped: ${skipReason})`}`, () => {
  const values: [string, TypedValue][] = [
    ...[-(2 ** 31), -1, 0, 2 ** 31 - 1].map((value) => ['EchoInt', int(value)] as [string, TypedValue]),
    ...[0, 2 ** 32 - 1].map((value) => ['EchoUInt', { type: 'uint', value }] as [string, TypedValue]),
    ...[-(2n ** 63n), 2n ** 63n - 1n].map(
      (value) => ['EchoLong', { type: 'long', value }] as [string, TypedValue],
    ),
    ...[0n, 2n ** 64n - 1n].map((value) => ['EchoULong', { type: 'ulong', value }] as [string, TypedValue]),
    ...[0, 1.5, Number.NaN, Number.NEGATIVE_INFINITY].flatMap(
      (value) =>
        [
          ['EchoFloat', { type: 'float', value }],
          ['EchoDouble', { type: 'double', value }],
        ] as [string, TypedValue][],
    ),
    ['EchoBool', { type: 'bool', value: true }],
    ['EchoBool', { type: 'bool', value: false }],
    ...['', 'héllo 🦋', 'x'.repeat(500_000)].map(
      (text) => ['EchoString', string(text)] as [string, TypedValue],
    ),
    ...[0, 1, 4096, 1_000_000].map(
      (length) =>
        ['EchoBytes', { type: 'bytes', value: new Uint8Array(length).fill(0x5a) }] as [string, TypedValue],
    ),
  ];

  test('every type comes back as it went, by call and by invoke', async () => {
    const sandbox = await guest('echo', { memory: { heapBytes: 8 << 20 } });
    for (const [name, value] of values)
      for (const how of ['call', 'invoke'] as const) {
        const report = await sandbox[how](name, [value], value.type as ReturnType);
        expect(report.outcome, `${name} ${report.detail?.message}`).toBe('succeeded');
        expect(report.value).toEqual(value);
      }
  });

  test('a plain invoke is one exit and one run, from the warm snapshot', async () => {
    const sandbox = await guest('echo', { liveCheck: { oneIn: 3 } });
    expect(sandbox.warm).toBe(true);
    await sandbox.invoke('Add', [int(1), int(2)], 'int');
    expect(await sandbox.invoke('Add', [int(20), int(22)], 'int')).toMatchObject({
      value: int(42),
      exits: 1,
      hostCalls: 0,
    });
  });

  test('a kill ends a spinning guest, and the next invoke is clean', async () => {
    const [sandbox, neighbour] = [await guest('spin'), await guest('echo')];
    const running = sandbox.invoke('Spin', [], 'int');
    for (let round = 0; round < 10; round++)
      expect((await neighbour.invoke('Add', [int(round), int(1)], 'int')).value).toEqual(int(round + 1));
    expect(sandbox.interruptHandle().kill()).toBe(true);
    expect((await running).outcome).toBe('canceled');
    expect((await sandbox.invoke('Spin', [], 'int', { timeoutMs: 20 })).outcome).toBe('timeout');
  });

  test('a call that waits behind another on the slot is taken back, and its sandbox keeps its state', async () => {
    const single = await createKvmDriver({ slots: 1 });
    onTestFinished(() => single.close());
    const load = async (name: string) =>
      (await loadSandbox(single, readFileSync(new URL(`${name}.elf`, GUESTS)))).evolve();
    for (const how of ['call', 'invoke'] as const) {
      const [spinning, waiting] = [await load('spin'), await load('echo')];
      const add = () => waiting[how]('Add', [int(1), int(2)], 'int');
      expect((await add()).value).toEqual(int(3));
      expect(waiting.revoke()).toBe(false);
      const spin = spinning.invoke('Spin', [], 'int');
      const held = add();
      expect([waiting.revoke(), waiting.revoke()]).toEqual([true, false]);
      expect(await held).toMatchObject({
        outcome: 'canceled',
        exits: 0,
        detail: { message: 'The call was taken off its slot before it began' },
      });
      expect(waiting.poisoned).toBe(false);
      spinning.interruptHandle().kill();
      expect((await spin).outcome).toBe('canceled');
      expect((await add()).value).toEqual(int(3));
    }
  });

  test('an asynchronous host function is awaited, and the deadline ends the wait for it', async () => {
    let late: ((value: number) => void) | undefined;
    const sandbox = await guest('output', {}, async (ctx, text) => {
      if (ctx.call !== 'wait')
        return await new Promise<number>((resolve) => setImmediate(resolve, String(text).length));
      return await new Promise<number>((resolve) => {
        late = resolve;
      });
    });
    const [name, args, returns] = ['Print', [string('hello')], 'int'] as const;
    expect(await sandbox.invoke(name, args, returns)).toMatchObject({ outcome: 'succeeded', hostCalls: 1 });
    const report = await sandbox.invoke(name, args, returns, { timeoutMs: 50, context: 'wait' });
    expect(report.outcome).toBe('timeout');
    expect(sandbox.doubtful).toBe(true);
    late?.(1);
    await expect(sandbox.invoke(name, args, returns)).rejects.toThrow(
      expect.objectContaining({ code: 'MAYFLY_ERR_SANDBOX_DOUBTFUL' }),
    );
  });

  test('sandboxes of one snapshot share nothing', async () => {
    const first = await guest('echo');
    const snapshot = await first.snapshot();
    const others = await Promise.all([1, 2, 3, 4].map(() => snapshot.instantiate()));
    for (const other of others) onTestFinished(() => other.close());
    snapshot.close();
    const all = [first, ...others];
    const reports = await Promise.all(
      all.map((sandbox, index) => sandbox.invoke('EchoString', [string(`number ${index}`)], 'string')),
    );
    expect(reports.map(({ value }) => value)).toEqual(
      all.map((_sandbox, index) => string(`number ${index}`)),
    );
  });

  test('thirty guests that fault leave thirty neighbours undisturbed', async () => {
    const [good, bad] = [await (await guest('echo')).snapshot(), await (await guest('crash')).snapshot()];
    const faults = ['DivideByZero', 'InvalidOpcode', 'WriteNull'] as const;
    await Promise.all(
      Array.from({ length: 30 }, async (_value, index) => {
        const [neighbour, hostile] = await Promise.all([good.instantiate(), bad.instantiate()]);
        for (let round = 0; round < 5; round++) {
          const [fault, answer] = await Promise.all([
            hostile.invoke(faults[(index + round) % faults.length] as string, [], 'int'),
            neighbour.invoke('Add', [int(index), int(round)], 'int'),
          ]);
          expect(fault.outcome).toBe('exception');
          expect(answer.value).toEqual(int(index + round));
        }
        await Promise.all([neighbour.close(), hostile.close()]);
      }),
    );
    good.close();
    bad.close();
  });

  test('kills at random points never reach a later call', async () => {
    const sandbox = await guest('echo');
    const handle = sandbox.interruptHandle();
    for (let round = 0; round < 500; round++) {
      const running = sandbox.invoke('Add', [int(round), int(1)], 'int');
      for (let turns = round % 4; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
      handle.kill();
      const report = await running;
      if (report.outcome === 'succeeded') expect(report.value).toEqual(int(round + 1));
      else expect(report.outcome).toBe('canceled');
      const next = await sandbox.invoke('Add', [int(round), int(2)], 'int');
      expect(next.value, next.detail?.message).toEqual(int(round + 2));
    }
  });

  test('a closed driver takes its sandboxes with it', async () => {
    const own = await createKvmDriver({ slots: 1 });
    const loaded = await loadSandbox(own, readFileSync(new URL('spin.elf', GUESTS)));
    const sandbox = await loaded.evolve();
    const running = sandbox.invoke('Spin', [], 'int').then(
      ({ outcome }) => outcome,
      (error: { code?: string }) => error.code,
    );
    await own.close();
    expect(await running).toMatch(/^(canceled|MAYFLY_ERR_(VM|DRIVER)_CLOSED)$/);
    await sandbox.close();
  });
});
