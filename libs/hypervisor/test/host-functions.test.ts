import { once } from 'node:events';
import type { Signature, TypedValue } from '@mayfly/contracts';
import { describe, expect, test } from 'vitest';
import type { HostCallContext, HostFunction, Sandbox } from '../src/index.js';
import { FUNCTIONS, loadFake } from './fakes.js';

const int = (value: number) => ({ type: 'int', value }) as const;
const string = (value: string) => ({ type: 'string', value }) as const;

async function withHost(signature: Signature, handler: HostFunction): Promise<Sandbox> {
  const loaded = await loadFake({ functions: FUNCTIONS });
  return await loaded.registerHostFunction('Host', signature, handler).evolve();
}

const callHost = (
  sandbox: Sandbox,
  name: string,
  args: readonly TypedValue[],
  returns: TypedValue['type'] = 'int',
) => sandbox.call('CallHost', [string(name), ...args], returns);

describe('a host function', () => {
  const values: [TypedValue, unknown][] = [
    [int(-5), -5],
    [{ type: 'uint', value: 2 ** 32 - 1 }, 2 ** 32 - 1],
    [{ type: 'long', value: -(2n ** 63n) }, -(2n ** 63n)],
    [{ type: 'ulong', value: 2n ** 64n - 1n }, 2n ** 64n - 1n],
    [{ type: 'float', value: 1.5 }, 1.5],
    [{ type: 'double', value: -0 }, -0],
    [{ type: 'bool', value: true }, true],
    [string('héllo'), 'héllo'],
    [{ type: 'bytes', value: Uint8Array.of(1, 2, 3) }, Uint8Array.of(1, 2, 3)],
  ];
  test.each(values.map(([typed, plain]) => [typed.type, typed, plain] as const))(
    'takes and answers %s in both ways, sync and async',
    async (type, typed, plain) => {
      if (type === 'void') return;
      for (const asynchronous of [false, true]) {
        const seen: unknown[] = [];
        const sandbox = await withHost({ params: [type], returns: type }, (_ctx, value) => {
          seen.push(value);
          return asynchronous ? Promise.resolve(value) : value;
        });
        const report = await callHost(sandbox, 'Host', [typed], type);
        expect(report).toMatchObject({ outcome: 'succeeded', hostCalls: 1, exits: 2 });
        expect(report.value).toEqual(typed);
        expect(seen).toEqual([plain]);
      }
    },
  );

  test('has its time on the report, apart from the guest’s, also when it ends the call', async () => {
    let tookUs = 0;
    const sandbox = await withHost({ params: [], returns: 'void' }, async (ctx) => {
      const startedMs = performance.now();
      await once(ctx.signal, 'abort', { signal: AbortSignal.timeout(20) }).catch(() => undefined);
      tookUs = (performance.now() - startedMs) * 1000;
    });
    const report = await callHost(sandbox, 'Host', [], 'void');
    expect(report.hostCallTimes).toMatchObject([{ name: 'Host' }]);
    expect(report.hostCallTimes[0]?.durationUs).toBeGreaterThanOrEqual(tookUs);
    expect(report.phases.hostUs).toBeGreaterThanOrEqual(tookUs);

    const late = await sandbox.call('CallHost', [string('Host')], 'void', { timeoutMs: 10 });
    expect(late).toMatchObject({ outcome: 'timeout', hostCallTimes: [{ name: 'Host' }] });
    expect(late.phases.hostUs).toBeGreaterThanOrEqual(late.hostCallTimes[0]?.durationUs ?? Infinity);
  });

  test('that does not exist has no time of its own', async () => {
    const sandbox = await withHost({ params: [], returns: 'void' }, () => undefined);
    const report = await callHost(sandbox, 'Missing', [], 'void');
    expect(report).toMatchObject({ hostCalls: 1, hostCallTimes: [] });
  });

  test('of type void may return anything', async () => {
    const sandbox = await withHost({ params: [], returns: 'void' }, () => 'ignored');
    expect(await callHost(sandbox, 'Host', [], 'void')).toMatchObject({
      outcome: 'succeeded',
      value: { type: 'void' },
    });
  });

  test('sees the context of the call, its budget and an AbortSignal', async () => {
    let seen: HostCallContext | undefined;
    const sandbox = await withHost({ params: [], returns: 'int' }, (ctx) => {
      seen = ctx;
      return 1;
    });
    const context = { invocationId: 'i-1' };
    await sandbox.call('CallHost', [string('Host')], 'int', { timeoutMs: 5000, context });
    expect(seen?.call).toBe(context);
    expect(seen?.signal.aborted).toBe(false);
    expect(seen?.remainingMs).toBeLessThanOrEqual(5000);
    await callHost(sandbox, 'Host', []);
    expect(seen?.remainingMs).toBe(Number.POSITIVE_INFINITY);
  });

  const failures: [string, string, HostFunction, readonly TypedValue[], string | RegExp][] = [
    ['an unknown name', 'Other', () => 1, [], 'HostFunction Other was not found'],
    ['a name of Object.prototype', '__proto__', () => 1, [], 'HostFunction __proto__ was not found'],
    [
      'too few arguments',
      'Host',
      () => 1,
      [],
      'The number of arguments to the function is wrong: got 0 expected 1',
    ],
    [
      'too many arguments',
      'Host',
      () => 1,
      [int(1), int(2)],
      'The number of arguments to the function is wrong: got 2 expected 1',
    ],
    [
      'an argument of another type',
      'Host',
      () => 1,
      [string('x')],
      'Failed To Convert Parameter Value String("x") to "i32"',
    ],
    [
      'another argument of another type',
      'Host',
      () => 1,
      [{ type: 'double', value: 1 }],
      'Failed To Convert Parameter Value Double(1.0) to "i32"',
    ],
    [
      'an exception',
      'Host',
      () => {
        throw new Error('disk is full');
      },
      [int(1)],
      'disk is full',
    ],
    ['a rejection', 'Host', () => Promise.reject(new Error('not today')), [int(1)], 'not today'],
    [
      'a thrown text',
      'Host',
      () => {
        throw 'plain';
      },
      [int(1)],
      'plain',
    ],
    [
      'a thrown nothing',
      'Host',
      () => {
        throw undefined;
      },
      [int(1)],
      'The host function failed',
    ],
    ['a result of another type', 'Host', () => 'text', [int(1)], /answered with a value that is no int/],
    [
      'a result out of range',
      'Host',
      () => 2 ** 31,
      [int(1)],
      /expected an integer from -2147483648 to 2147483647/,
    ],
    ['a result of NaN', 'Host', async () => Number.NaN, [int(1)], /expected an integer/],
  ];
  test.each(failures)(
    'with %s is guest error 17 with the text',
    async (_name, called, handler, args, message) => {
      const sandbox = await withHost({ params: ['int'], returns: 'int' }, handler);
      const report = await callHost(sandbox, called, args);
      expect(report).toMatchObject({
        outcome: 'guest-error',
        detail: { guestCode: 17, guestCodeName: 'HostFunctionError' },
      });
      expect(report.detail?.message).toEqual(
        typeof message === 'string' ? message : expect.stringMatching(message),
      );
      expect(sandbox.poisoned).toBe(false);
    },
  );

  test('with an answer that does not fit the input buffer ends the call as protocol', async () => {
    const loaded = await loadFake({ functions: FUNCTIONS }, { memory: { inputBytes: 0x2000 } });
    const sandbox = await loaded
      .registerHostFunction('Big', { params: [], returns: 'bytes' }, () => new Uint8Array(0x2000))
      .evolve();
    expect(await callHost(sandbox, 'Big', [])).toMatchObject({
      outcome: 'protocol',
      detail: { message: expect.stringMatching(/^Not enough space in buffer to push data/) },
    });
    expect(sandbox.poisoned).toBe(true);
  });

  test('replaces another of its name, HostPrint included', async () => {
    const texts: unknown[] = [];
    const loaded = await loadFake({ functions: FUNCTIONS });
    const sandbox = await loaded
      .registerHostFunction('HostPrint', { params: ['string'], returns: 'int' }, () => 1)
      .registerHostFunction('HostPrint', { params: ['string'], returns: 'int' }, (_ctx, text) =>
        texts.push(text),
      )
      .evolve();
    expect(await callHost(sandbox, 'HostPrint', [string('x')])).toMatchObject({ value: int(1), printed: '' });
    expect(texts).toEqual(['x']);
  });

  const signature = { params: ['int'], returns: 'int' } as const;
  const bad: [string, unknown, unknown, unknown][] = [
    ['an empty name', '', signature, () => 1],
    ['a name that is no string', 5, signature, () => 1],
    ['a name of 300 bytes', 'n'.repeat(300), signature, () => 1],
    ['a name with a lone surrogate', '\ud800', signature, () => 1],
    ['no signature', 'F', undefined, () => 1],
    ['no parameter list', 'F', { returns: 'int' }, () => 1],
    ['an unknown parameter type', 'F', { params: ['int32'], returns: 'int' }, () => 1],
    ['a void parameter', 'F', { params: ['void'], returns: 'int' }, () => 1],
    ['33 parameters', 'F', { params: Array(33).fill('int'), returns: 'int' }, () => 1],
    ['an unknown return type', 'F', { params: [], returns: 'float64' }, () => 1],
    ['no handler', 'F', signature, undefined],
    ['a handler that is no function', 'F', signature, {}],
  ];
  test.each(bad)('with %s is refused', async (_name, name, entry, handler) => {
    const loaded = await loadFake({ functions: {} });
    expect(() =>
      loaded.registerHostFunction(name as string, entry as Signature, handler as HostFunction),
    ).toThrow(expect.objectContaining({ code: 'MAYFLY_ERR_HOST_FUNCTION' }));
  });

  test('is refused once the sandbox evolves', async () => {
    const loaded = await loadFake({ functions: {} });
    await loaded.evolve();
    expect(() => loaded.registerHostFunction('F', signature, () => 1)).toThrow(
      expect.objectContaining({ code: 'MAYFLY_ERR_SANDBOX_STATE' }),
    );
  });

  test('list too long for its region makes evolve reject', async () => {
    const loaded = await loadFake({ functions: {} });
    for (let index = 0; index < 400; index++)
      loaded.registerHostFunction(`${'n'.repeat(240)}${index}`, signature, () => 1);
    await expect(loaded.evolve()).rejects.toThrow(
      expect.objectContaining({ code: 'MAYFLY_ERR_HOST_FUNCTION' }),
    );
  });
});

describe('the built-in HostPrint', () => {
  test('collects text in the report and answers with its bytes', async () => {
    const sandbox = await (await loadFake({ functions: FUNCTIONS })).evolve();
    expect(await callHost(sandbox, 'HostPrint', [string('héllo\n')])).toMatchObject({
      value: int(7),
      printed: 'héllo\n',
    });
    expect((await sandbox.call('Echo', [int(1)], 'int')).printed).toBe('');
  });

  test('stops collecting at its cap without cutting a character', async () => {
    const sandbox = await (await loadFake({ functions: FUNCTIONS })).evolve();
    const report = await callHost(sandbox, 'HostPrint', [string(`x${'🦋'.repeat(40_000)}`)]);
    expect(report.printed).toHaveLength(65_535);
    expect(report.printed.endsWith('🦋')).toBe(true);
    expect(report.value).toEqual(int(160_001));
  });
});
