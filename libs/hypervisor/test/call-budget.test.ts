import type { TypedValue } from '@mayfly/contracts';
import { describe, expect, test } from 'vitest';
import type { CallBudget, HostFunction, Sandbox } from '../src/index.js';
import { FUNCTIONS, loadFake } from './fakes.js';

const string = (value: string) => ({ type: 'string', value }) as const;

async function guest(budget: Partial<CallBudget>, handler: HostFunction = () => 1): Promise<Sandbox> {
  const loaded = await loadFake(
    {
      functions: {
        ...FUNCTIONS,
        *CallTwice(args, it) {
          yield* it.callHost('Work', args, 'int');
          return yield* it.callHost('Work', args, 'int');
        },
      },
    },
    { budget },
  );
  return await loaded.registerHostFunction('Work', { params: ['string'], returns: 'int' }, handler).evolve();
}

const args: TypedValue[] = [string('x'.repeat(1000))];
const outOfBudget = (text: string) => ({
  outcome: 'host-budget',
  detail: { message: expect.stringContaining(text) },
});

describe('a budget', () => {
  test('of host calls ends the call that makes one more, and the next invoke is clean', async () => {
    const sandbox = await guest({ hostCalls: 1 });
    expect(await sandbox.invoke('CallTwice', args, 'int')).toMatchObject(outOfBudget('host calls'));
    expect(sandbox.poisoned).toBe(true);
    expect((await sandbox.invoke('CallHost', [string('Work'), ...args], 'int')).outcome).toBe('succeeded');
    expect(sandbox.poisoned).toBe(false);
  });

  test('of exits ends a call that takes more of them', async () => {
    const sandbox = await guest({ exits: 2 });
    expect(await sandbox.invoke('CallTwice', args, 'int')).toMatchObject(outOfBudget('VM exits'));
    expect((await sandbox.invoke('CallHost', [string('Work'), ...args], 'int')).outcome).toBe('succeeded');
  });

  test('of decoded bytes counts host calls and the result', async () => {
    const sandbox = await guest({ decodedBytes: 2000 });
    expect(await sandbox.invoke('CallTwice', args, 'int')).toMatchObject(outOfBudget('bytes'));
    expect(await sandbox.invoke('Echo', [string('x'.repeat(2000))], 'string')).toMatchObject(
      outOfBudget('bytes'),
    );
    expect((await sandbox.invoke('Echo', args, 'string')).outcome).toBe('succeeded');
  });

  test('of host time ends the wait for a host function, whose signal says why, and the sandbox', async () => {
    let reason: unknown;
    const sandbox = await guest({ hostTimeMs: 10 }, (ctx) => {
      expect(ctx.remainingHostTimeMs).toBeGreaterThan(0);
      expect(ctx.remainingHostTimeMs).toBeLessThanOrEqual(10);
      ctx.signal.addEventListener('abort', () => {
        reason = ctx.signal.reason;
      });
      return new Promise(() => undefined);
    });
    const report = await sandbox.invoke('CallHost', [string('Work'), ...args], 'int');
    expect(report).toMatchObject(outOfBudget('host time'));
    expect(reason).toMatchObject({ name: 'QuotaExceededError' });
    expect(sandbox.doubtful).toBe(true);
  });

  test('of host time adds up over the host calls of one call, and begins anew with the next', async () => {
    const busy = () => {
      const endMs = performance.now() + 6;
      while (performance.now() < endMs);
      return 1;
    };
    const sandbox = await guest({ hostTimeMs: 10 }, busy);
    expect(await sandbox.invoke('CallTwice', args, 'int')).toMatchObject(outOfBudget('host time'));
    expect(sandbox.doubtful).toBe(false);
  });

  test('holds for the initialisation, too', async () => {
    const loaded = await loadFake(
      {
        functions: {},
        *init(it) {
          for (;;) yield* it.callHost('HostPrint', [string('again')], 'int');
        },
      },
      { budget: { hostCalls: 5 } },
    );
    await expect(loaded.evolve()).rejects.toMatchObject({
      code: 'MAYFLY_ERR_GUEST_INIT',
      details: { outcome: 'host-budget' },
    });
  });

  test.each([0, -1, Number.NaN, '5' as unknown as number])('of %s is refused by name', async (value) => {
    const options = { budget: { exits: value } };

    await expect(loadFake({ functions: {} }, options)).rejects.toMatchObject({
      code: 'MAYFLY_ERR_SANDBOX_OPTIONS',
      details: { option: 'budget.exits' },
    });
  });
});
