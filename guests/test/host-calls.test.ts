import type { ReturnType, TypedValue } from '@mayfly/contracts';
import { loadSandbox, type Sandbox } from '@mayfly/hypervisor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { guestBinary, kvmOrReason } from './support/guest.js';

const { driver, reason } = await kvmOrReason();
afterAll(() => driver?.close());

const relays: readonly [string, string, TypedValue[]][] = [
  ['RelayInt', 'HostInt', [-5, 0, 2 ** 31 - 1].map((value) => ({ type: 'int', value }))],
  ['RelayUInt', 'HostUInt', [0, 2 ** 32 - 1].map((value) => ({ type: 'uint', value }))],
  ['RelayLong', 'HostLong', [-(2n ** 63n), 1n].map((value) => ({ type: 'long', value }))],
  ['RelayULong', 'HostULong', [0n, 2n ** 64n - 1n].map((value) => ({ type: 'ulong', value }))],
  ['RelayFloat', 'HostFloat', [1.5, Number.NaN].map((value) => ({ type: 'float', value }))],
  ['RelayDouble', 'HostDouble', [-0.1, 5e-324].map((value) => ({ type: 'double', value }))],
  ['RelayBool', 'HostBool', [true, false].map((value) => ({ type: 'bool', value }))],
  [
    'RelayString',
    'HostString',
    ['', 'naïve ☃', 'x'.repeat(50_000)].map((value) => ({ type: 'string', value })),
  ],
  [
    'RelayBytes',
    'HostVecBytes',
    [0, 1, 300, 50_000].map((length) => ({ type: 'bytes', value: new Uint8Array(length).fill(7) })),
  ],
];

describe.skipIf(!driver)(`host functions, as a guest calls them${reason && ` (skipped: ${reason})`}`, () => {
  let sandbox: Sandbox;
  const seen: unknown[] = [];

  beforeAll(async () => {
    if (!driver) return;
    const loaded = await loadSandbox(driver, guestBinary('hostcalls'));
    for (const [, name, [first]] of relays) {
      const type = first?.type as Exclude<ReturnType, 'void'>;
      loaded.registerHostFunction(name, { params: [type], returns: type }, (_ctx, value) => {
        seen.push(value);
        return value;
      });
    }
    loaded.registerHostFunction('Tick', { params: ['int'], returns: 'int' }, async (_ctx, value) => value);
    loaded.registerHostFunction('HostVoid', { params: [], returns: 'void' }, () => {
      seen.push('void');
    });
    sandbox = await loaded.evolve();
  });
  afterAll(() => sandbox?.close());

  test.each(relays)('%s gives and takes', async (entrypoint, _name, values) => {
    for (const value of values) {
      seen.length = 0;
      const report = await sandbox.invoke(entrypoint, [value], value.type);
      expect(report.value).toEqual(value);
      expect(seen).toEqual(['value' in value ? value.value : undefined]);
    }
  });

  test('a host function without a value is called', async () => {
    seen.length = 0;
    expect((await sandbox.invoke('RelayVoid', [], 'void')).outcome).toBe('succeeded');
    expect(seen).toEqual(['void']);
  });

  test('a guest calls the host many times in one call', async () => {
    const report = await sandbox.invoke('CallHost', [{ type: 'int', value: 500 }], 'int');
    expect(report.value).toEqual({ type: 'int', value: 500 });
    expect(report.hostCalls).toBe(500);
  });
});
