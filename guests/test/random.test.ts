import type { CallReport, Sandbox } from '@mayfly/hypervisor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kvmOrReason, startGuest } from './support/guest.js';

const { driver, reason } = await kvmOrReason();
afterAll(() => driver?.close());

const CALLS = 50;
const numberOf = (report: CallReport) => {
  expect(report.outcome).toBe('succeeded');
  return report.value?.type === 'ulong' || report.value?.type === 'int' ? report.value.value : undefined;
};

describe.skipIf(!driver)(`numbers by chance${reason && ` (skipped: ${reason})`}`, () => {
  const sandboxes: Sandbox[] = [];
  beforeAll(async () => {
    if (driver) for (let clone = 0; clone < 2; clone++) sandboxes.push(await startGuest(driver, 'libc'));
  });
  afterAll(async () => {
    for (const sandbox of sandboxes) await sandbox.close();
  });

  test.each([
    ['Draw', 'ulong'],
    ['DrawRand', 'int'],
  ] as const)(
    '%s gives no two calls of two sandboxes the same, though each starts from the snapshot',
    async (name, returns) => {
      const drawn = new Set<unknown>();
      for (let call = 0; call < CALLS; call++)
        for (const sandbox of sandboxes) drawn.add(numberOf(await sandbox.invoke(name, [], returns)));
      expect(drawn.has(undefined)).toBe(false);
      expect(drawn.size).toBe(2 * CALLS);
    },
  );

  test('the time base is the time of the call', async () => {
    const before = BigInt(Date.now()) * 1_000_000n;
    const time = numberOf(await (sandboxes[0] as Sandbox).invoke('TimeBase', [], 'ulong'));
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(BigInt(Date.now()) * 1_000_000n);
  });
});
