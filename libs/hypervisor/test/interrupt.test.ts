import { describe, expect, test } from 'vitest';
import type { HostCallContext, Sandbox } from '../src/index.js';
import { evolveFake, FUNCTIONS, loadFake } from './fakes.js';

const int = (value: number) => ({ type: 'int', value }) as const;
const string = (value: string) => ({ type: 'string', value }) as const;

/** A sandbox whose host function `Wait` never answers on its own. */
async function withWait() {
  let entered: (ctx: HostCallContext) => void = () => undefined;
  let answer: (value: number) => void = () => undefined;
  const waiting = new Promise<HostCallContext>((resolve) => {
    entered = resolve;
  });
  const loaded = await loadFake({ functions: FUNCTIONS });
  const sandbox = await loaded
    .registerHostFunction('Wait', { params: [], returns: 'int' }, (ctx) => {
      const late = new Promise<number>((resolve) => {
        answer = resolve;
      });
      // The signal exists before the wait is cut.
      void ctx.signal;
      entered(ctx);
      return late;
    })
    .evolve();
  return { sandbox, waiting, answer: (value: number) => answer(value) };
}

const wait = (sandbox: Sandbox, timeoutMs?: number) =>
  sandbox.invoke('CallHost', [string('Wait')], 'int', { timeoutMs });

describe('kill', () => {
  test('ends a running guest as canceled and answers true; the sandbox is poisoned', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const handle = sandbox.interruptHandle();
    const running = sandbox.call('Spin', [], 'int');
    expect(handle.kill()).toBe(true);
    expect(await running).toMatchObject({
      outcome: 'canceled',
      detail: { message: 'Execution was cancelled by the host.' },
    });
    expect(sandbox.poisoned).toBe(true);
    expect(sandbox.doubtful).toBe(false);
  });

  test('answers false without a call and never reaches the next one', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const handle = sandbox.interruptHandle();
    expect(handle.kill()).toBe(false);
    expect((await sandbox.call('Echo', [int(1)], 'int')).value).toEqual(int(1));
    expect(handle.kill()).toBe(false);
    expect((await sandbox.call('Echo', [int(2)], 'int')).value).toEqual(int(2));
  });

  test('settles a call that waits for a host function at once and drops its late answer', async () => {
    const { sandbox, waiting, answer } = await withWait();
    const call = wait(sandbox);
    const ctx = await waiting;
    expect(sandbox.interruptHandle().kill()).toBe(true);
    expect((await call).outcome).toBe('canceled');
    expect(ctx.signal.aborted).toBe(true);
    answer(7);
    expect(sandbox.doubtful).toBe(true);
    expect(sandbox.poisoned).toBe(true);
    await expect(wait(sandbox)).rejects.toThrow(
      expect.objectContaining({ code: 'MAYFLY_ERR_SANDBOX_DOUBTFUL' }),
    );
  });

  test('from inside a synchronous host function ends the call before the guest goes on', async () => {
    const loaded = await loadFake({ functions: FUNCTIONS });
    let kill: () => boolean = () => false;
    const sandbox = await loaded
      .registerHostFunction('Kill', { params: [], returns: 'int' }, () => (kill() ? 1 : 0))
      .evolve();
    kill = () => sandbox.interruptHandle().kill();
    expect((await sandbox.call('CallHost', [string('Kill')], 'int')).outcome).toBe('canceled');
    expect(sandbox.doubtful).toBe(false);
  });

  test('leaves no unhandled rejection when the host function fails late', async () => {
    let reject: (error: Error) => void = () => undefined;
    const loaded = await loadFake({ functions: FUNCTIONS });
    const sandbox = await loaded
      .registerHostFunction('Wait', { params: [], returns: 'int' }, (ctx) => {
        queueMicrotask(() => sandbox.interruptHandle().kill());
        expect(ctx.signal.aborted).toBe(false);
        return new Promise((_resolve, rejectLater) => {
          reject = rejectLater;
        });
      })
      .evolve();
    expect((await wait(sandbox)).outcome).toBe('canceled');
    reject(new Error('too late'));
    await new Promise((resolve) => setImmediate(resolve));
  });
});

describe('an AbortSignal', () => {
  test('kills the call', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const controller = new AbortController();
    const running = sandbox.invoke('Spin', [], 'int', { signal: controller.signal });
    controller.abort();
    expect((await running).outcome).toBe('canceled');
    expect((await sandbox.invoke('Echo', [int(1)], 'int')).value).toEqual(int(1));
  });

  test('that has aborted already keeps the guest from running', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const report = await sandbox.call('Spin', [], 'int', { signal: AbortSignal.abort() });
    expect(report).toMatchObject({ outcome: 'canceled', exits: 0 });
    expect(sandbox.poisoned).toBe(false);
  });
});

describe('a deadline', () => {
  test('ends a running guest as timeout, and the next invoke is clean', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    expect((await sandbox.invoke('Spin', [], 'int', { timeoutMs: 10 })).outcome).toBe('timeout');
    expect(sandbox.poisoned).toBe(true);
    expect((await sandbox.invoke('Echo', [int(1)], 'int')).value).toEqual(int(1));
  });

  test('ends a wait for a host function as timeout', async () => {
    const { sandbox, waiting } = await withWait();
    const call = wait(sandbox, 10);
    const ctx = await waiting;
    expect((await call).outcome).toBe('timeout');
    expect(ctx.signal.aborted).toBe(true);
    expect(ctx.remainingMs).toBe(0);
    expect(sandbox.doubtful).toBe(true);
  });

  test('counts the time of host functions', async () => {
    const loaded = await loadFake({ functions: FUNCTIONS });
    const sandbox = await loaded
      .registerHostFunction('Busy', { params: [], returns: 'int' }, (ctx) => {
        while (ctx.remainingMs > 0);
        return 1;
      })
      .evolve();
    const report = await sandbox.invoke('CallHost', [string('Busy')], 'int', { timeoutMs: 50 });
    expect(report).toMatchObject({ outcome: 'timeout', hostCalls: 1 });
    expect(sandbox.doubtful).toBe(false);
  });

  test('holds for initialisation, host functions included', async () => {
    const loaded = await loadFake(
      {
        functions: {},
        *init(guest) {
          yield* guest.callHost('Wait', [], 'int');
        },
      },
      { initTimeoutMs: 10 },
    );
    loaded.registerHostFunction('Wait', { params: [], returns: 'int' }, () => new Promise(() => undefined));
    await expect(loaded.evolve()).rejects.toMatchObject({ details: { outcome: 'timeout' } });
  });
});

describe('close', () => {
  test('settles a call that waits for a host function', async () => {
    const { sandbox, waiting } = await withWait();
    const call = wait(sandbox);
    await waiting;
    await sandbox.close();
    expect((await call).outcome).toBe('canceled');
  });
});
