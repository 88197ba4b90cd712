import type { ReturnType, TypedValue } from '@mayfly/contracts';
import { describe, expect, test } from 'vitest';
import { type CallOptions, loadSandbox, type SandboxOptions } from '../src/index.js';
import { buildElf, createFakeDriver } from '../src/testing.js';
import { evolveFake, FUNCTIONS } from './fakes.js';

const code = (name: string) => expect.objectContaining({ code: name });

describe('call and invoke refuse', () => {
  const names: unknown[] = [undefined, null, '', 5, {}, '\udc00'];
  const args: [string, unknown][] = [
    ['nothing', null],
    ['an object', {}],
    ['a text', 'abc'],
    ['twelve arguments', Array(12).fill({ type: 'int', value: 1 })],
    ['a bare number', [1]],
    ['null', [null]],
    ['no type', [{ value: 1 }]],
    ['an unknown type', [{ type: 'int32', value: 1 }]],
    ['void', [{ type: 'void' }]],
    ['a type of Object.prototype', [{ type: 'constructor', value: 1 }]],
    ...(
      [
        ['int', [1.5, 2 ** 31, -(2 ** 31) - 1, Number.NaN, '1', 1n, null, undefined]],
        ['uint', [-1, 2 ** 32, 0.5, '1', 1n]],
        ['long', [1, 2n ** 63n, -(2n ** 63n) - 1n, '1']],
        ['ulong', [-1n, 2n ** 64n, 5]],
        ['float', ['1', 1n, null, undefined]],
        ['double', ['NaN', 1n, {}]],
        ['bool', [0, 1, 'true', null]],
        ['string', [5, null, '\ud800', '\udc00x', undefined]],
        ['bytes', ['abc', [1, 2], new ArrayBuffer(4), new Uint16Array(2), null]],
      ] as [string, unknown[]][]
    ).flatMap(([type, values]) =>
      values.map(
        (value) => [`${type} ${typeof value} ${String(value)}`, [{ type, value }]] as [string, unknown],
      ),
    ),
  ];
  const returns: unknown[] = [undefined, null, 'Int', 'toString', 5];
  const options: [string, unknown][] = [
    ['null', null],
    ['a text', 'x'],
    ...[0, -1, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, '100', null, {}].map(
      (timeoutMs) => [`a timeoutMs of ${String(timeoutMs)}`, { timeoutMs }] as [string, unknown],
    ),
    ['a signal that is none', { signal: {} }],
  ];

  test.each(names.map((name) => [String(name), name]))('the name %s', async (_label, name) => {
    const sandbox = await evolveFake(FUNCTIONS);
    for (const how of ['call', 'invoke'] as const)
      await expect(sandbox[how](name as string, [], 'int')).rejects.toThrow(
        code('MAYFLY_ERR_CALL_ARGUMENTS'),
      );
  });

  test.each(args)('as arguments %s', async (_label, value) => {
    const sandbox = await evolveFake(FUNCTIONS);
    for (const how of ['call', 'invoke'] as const)
      await expect(sandbox[how]('Echo', value as TypedValue[], 'int')).rejects.toThrow(
        code('MAYFLY_ERR_CALL_ARGUMENTS'),
      );
    expect((await sandbox.call('Echo', [{ type: 'int', value: 1 }], 'int')).outcome).toBe('succeeded');
  });

  test.each(returns.map((type) => [String(type), type]))('the return type %s', async (_label, type) => {
    const sandbox = await evolveFake(FUNCTIONS);
    await expect(sandbox.call('Echo', [], type as ReturnType)).rejects.toThrow(
      code('MAYFLY_ERR_CALL_ARGUMENTS'),
    );
  });

  test.each(options)('as options %s', async (_label, value) => {
    const sandbox = await evolveFake(FUNCTIONS);
    await expect(sandbox.invoke('Echo', [], 'int', value as CallOptions)).rejects.toThrow(
      code('MAYFLY_ERR_CALL_ARGUMENTS'),
    );
  });
});

describe('loadSandbox refuses', () => {
  const driver = createFakeDriver({ program: () => () => ({ kind: 'halt' }) });
  const { bytes } = buildElf();

  test.each([
    ['an unknown log level', { logLevel: 'verbose' }],
    ['a numeric log level', { logLevel: 3 }],
    ['an init timeout of 0', { initTimeoutMs: 0 }],
    ['an init timeout of NaN', { initTimeoutMs: Number.NaN }],
    ['an unknown privilege', { privilege: 'root' }],
    ['a heap of text', { memory: { heapBytes: '1' } }],
    ['a heap of 1025 MiB', { memory: { heapBytes: 1025 << 20 } }],
  ])('%s', async (_label, options) => {
    await expect(loadSandbox(driver, bytes, options as SandboxOptions)).rejects.toThrow(
      code('MAYFLY_ERR_SANDBOX_OPTIONS'),
    );
  });

  test('an image that with its memory is above 1 GiB', async () => {
    const { bytes: large } = buildElf({ zeroBytes: 600 << 20 });
    await expect(loadSandbox(driver, large, { memory: { heapBytes: 512 << 20 } })).rejects.toThrow(
      code('MAYFLY_ERR_MEMORY_TOO_BIG'),
    );
  });

  test.each([undefined, null, 'path/to/guest', new Uint8Array(0)])('%j as a binary', async (value) => {
    await expect(loadSandbox(driver, value as Uint8Array)).rejects.toThrow(code('MAYFLY_ERR_ELF_FORMAT'));
  });
});
