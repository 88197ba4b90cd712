import { existsSync, readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  createKvmDriver,
  createProcessDriver,
  type HostCallContext,
  type HypervisorDriver,
  InterruptHandle,
  loadSandbox,
  type Sandbox,
  type SharedInterrupt,
} from '../src/index.js';
import { evolveFake, FUNCTIONS } from './fakes.js';

const GUESTS = new URL('../../../guests/build/', import.meta.url);
const int = (value: number) => ({ type: 'int', value }) as const;
const spin = (sandbox: Sandbox) => sandbox.invoke('Spin', [], 'void', { timeoutMs: 20_000 });
/** A call that ends on its own. */
const short = (sandbox: Sandbox) =>
  sandbox.invoke('Work', [{ type: 'uint', value: 20_000 }], 'uint', { timeoutMs: 20_000 });

/** A worker thread that has the handle. */
class KillingThread {
  readonly worker: Worker;

  private constructor(shared: SharedInterrupt | undefined) {
    this.worker = new Worker(new URL('killing-thread.mjs', import.meta.url), { workerData: { shared } });
  }
  static async start(shared?: SharedInterrupt): Promise<KillingThread> {
    const thread = new KillingThread(shared);
    onTestFinished(async () => {
      await thread.worker.terminate();
    });
    await thread.#answer();
    return thread;
  }
  ask(ask: string, ...args: unknown[]): Promise<unknown> {
    const answer = this.#answer();
    this.worker.postMessage({ ask, args });
    return answer;
  }
  #answer(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.worker.once('message', resolve);
      this.worker.once('error', reject);
    });
  }
}

const drivers: [string, () => Promise<HypervisorDriver>, number][] = [
  ['thread', () => createKvmDriver({ slots: 1, spareShells: 0 }), 3_000],
  ['process', () => createProcessDriver({ slots: 1, spareShells: 0, vms: 8 }), 1_000],
];

for (const [name, start, rounds] of drivers) {
  const skipReason = await absence(start);
  describe.skipIf(skipReason)(
    `a handle in another thread, isolation ${name}${skipReason ? ` (skipped: ${skipReason})` : ''}`,
    () => {
      const guest = async (prepare?: (loaded: Awaited<ReturnType<typeof loadSandbox>>) => void) => {
        const driver = await start();
        onTestFinished(() => driver.close());
        const loaded = await loadSandbox(driver, readFileSync(new URL('spin.elf', GUESTS)));
        prepare?.(loaded);
        return { driver, sandbox: await loaded.evolve() };
      };

      test('ends a guest that spins; a late kill is false, and the next call is its own', async () => {
        const { sandbox } = await guest();
        const thread = await KillingThread.start(sandbox.interruptHandle().share());
        expect(await thread.ask('kill')).toBe(false);
        for (let round = 0; round < 3; round++) {
          const running = spin(sandbox);
          expect(await thread.ask('kill')).toBe(true);
          expect((await running).outcome).toBe('canceled');
          expect(await thread.ask('kill')).toBe(false);
        }
      });

      test('is shared while the call is under way already', async () => {
        const { sandbox } = await guest();
        const running = spin(sandbox);
        const thread = await KillingThread.start(sandbox.interruptHandle().share());
        expect(await thread.ask('kill')).toBe(true);
        expect((await running).outcome).toBe('canceled');
      });

      test('stops the guest without the event loop of its owner', async () => {
        const { driver } = await guest();
        const vm = await driver.createVm({
          memoryBytes: 0x10000,
          regions: [{ address: 0x4000, lengthBytes: 0x1000, rights: 5 }],
          load: [{ address: 0x4000, bytes: Uint8Array.of(0xeb, 0xfe) }],
        });
        const thread = await KillingThread.start();
        const running = vm.run({ entry: { rip: 0x4000n }, startsCall: true, deadlineUs: 20_000_000 });
        const { interrupt } = vm;
        await thread.ask('kill natively', interrupt.share?.(), (interrupt.sharedCall ?? 0) + 1);
        await thread.ask('kill natively', interrupt.share?.(), interrupt.sharedCall);
        expect((await running).exit).toEqual({ kind: 'cancelled', by: 'kill' });
      });

      test('ends a wait for a host function at once', async () => {
        let entered: (ctx: HostCallContext) => void = () => undefined;
        const waiting = new Promise<HostCallContext>((resolve) => {
          entered = resolve;
        });
        const { sandbox } = await guest((loaded) =>
          loaded.registerHostFunction('HostPrint', { params: ['string'], returns: 'int' }, (ctx) => {
            void ctx.signal;
            entered(ctx);
            return new Promise(() => undefined);
          }),
        );
        const thread = await KillingThread.start(sandbox.interruptHandle().share());
        const running = sandbox.invoke('CallHostForEver', [], 'void');
        const ctx = await waiting;
        expect(await thread.ask('kill')).toBe(true);
        expect((await running).outcome).toBe('canceled');
        expect(ctx.signal.aborted).toBe(true);
      });

      test('outlives the sandbox: dropped as soon as it is closed, and then no call is active', async () => {
        const { sandbox } = await guest();
        const shared = sandbox.interruptHandle().share();
        const thread = await KillingThread.start(shared);
        expect(await thread.ask('dropped')).toBe(false);
        const running = spin(sandbox);
        await sandbox.close();
        expect(await thread.ask('dropped')).toBe(true);
        expect(await thread.ask('kill')).toBe(false);
        expect((await running).outcome).toBe('canceled');
        const late = await KillingThread.start(shared);
        expect([await late.ask('dropped'), await late.ask('kill')]).toEqual([true, false]);
      });

      test('is dropped with its driver', async () => {
        const { driver, sandbox } = await guest();
        const thread = await KillingThread.start(sandbox.interruptHandle().share());
        const running = spin(sandbox).catch(() => undefined);
        await driver.close();
        await running;
        expect([await thread.ask('dropped'), await thread.ask('kill')]).toEqual([true, false]);
      });

      test('ends with its thread, and the sandbox goes on; another thread has it anew', async () => {
        const { sandbox } = await guest();
        const shared = sandbox.interruptHandle().share();
        const first = await KillingThread.start(shared);
        const running = spin(sandbox);
        expect(await first.ask('kill')).toBe(true);
        await first.worker.terminate();
        expect((await running).outcome).toBe('canceled');
        const second = await KillingThread.start(shared);
        const next = spin(sandbox);
        expect(await second.ask('kill')).toBe(true);
        expect((await next).outcome).toBe('canceled');
      });

      test(`${rounds} kills at random moments: none is lost, none reaches another call`, async () => {
        const { sandbox } = await guest();
        const thread = await KillingThread.start(sandbox.interruptHandle().share());
        const words = new Int32Array(new SharedArrayBuffer(12));
        const race = thread.ask('race', words.buffer);
        const found = { lost: 0, foreign: 0, strange: 0 };
        for (let round = 1; round <= rounds; round++) {
          const isShort = round % 2 === 0;
          const calls = isShort ? [short(sandbox)] : [spin(sandbox)];
          // The call is active from here on.
          Atomics.store(words, 0, round);
          Atomics.notify(words, 0);
          const outcomes = [(await calls[0])?.outcome];
          if (isShort) outcomes.push((await short(sandbox)).outcome);
          Atomics.wait(words, 1, round - 1);
          const canceled = outcomes.filter((outcome) => outcome === 'canceled').length;
          if (outcomes.some((outcome) => outcome !== 'canceled' && outcome !== 'succeeded')) found.strange++;
          if (!isShort && (canceled !== 1 || words[2] !== 1)) found.lost++;
          if (canceled > (words[2] as number)) found.foreign++;
        }
        Atomics.store(words, 0, -1);
        Atomics.notify(words, 0);
        await race;
        expect(found).toEqual({ lost: 0, foreign: 0, strange: 0 });
      }, 120_000);
    },
  );
}

describe('a handle in another thread, of a driver that threads cannot reach', () => {
  test('ends a call by the event loop of its owner', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const shared = sandbox.interruptHandle().share();
    expect(shared.driver).toBeUndefined();
    const thread = await KillingThread.start(shared);
    const running = spin(sandbox);
    expect(await thread.ask('kill')).toBe(true);
    expect((await running).outcome).toBe('canceled');
    expect(await thread.ask('kill')).toBe(false);
    expect((await sandbox.invoke('Echo', [int(1)], 'int')).outcome).toBe('succeeded');
    await sandbox.close();
    expect([await thread.ask('dropped'), await thread.ask('kill')]).toEqual([true, false]);
  });

  test('gives on what it was made of', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const shared = sandbox.interruptHandle().share();
    expect(sandbox.interruptHandle().share()).toBe(shared);
    const thread = await KillingThread.start(shared);
    const again = (await thread.ask('share')) as SharedInterrupt;
    const running = spin(sandbox);
    expect(InterruptHandle.from(again).kill()).toBe(true);
    expect((await running).outcome).toBe('canceled');
  });

  test.each([
    undefined,
    null,
    {},
    { call: new ArrayBuffer(32) },
    { call: new SharedArrayBuffer(8) },
    { call: new SharedArrayBuffer(32), driver: -1 },
    { call: new SharedArrayBuffer(32), driver: 0.5 },
  ])('is not made of anything else: %j', (shared) => {
    expect(() => InterruptHandle.from(shared as unknown as SharedInterrupt)).toThrow(
      expect.objectContaining({ code: 'MAYFLY_ERR_SHARED_INTERRUPT' }),
    );
  });
});

async function absence(start: () => Promise<HypervisorDriver>): Promise<string | undefined> {
  if (!existsSync(new URL('spin.elf', GUESTS))) return 'the guests are not built';
  try {
    await (await start()).close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
