import { readdirSync } from 'node:fs';
import { toJsonValue } from '@mayfly/contracts';
import { guestInitFailure, type Sandbox } from '@mayfly/hypervisor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectations, guestManifest, matching, title } from './support/expectation.js';
import { kvmOrReason, startGuest, typed } from './support/guest.js';

const { driver, reason } = await kvmOrReason();
afterAll(() => driver?.close());

const DEFAULT_TIMEOUT_MS = 10_000;
/** For the guests that never get ready. */
const INIT_TIMEOUT_MS = 500;

const guests = [...new Set(expectations.map((row) => row.guest))];

describe('the table of expectations', () => {
  const sources = ['samples', 'tests'].flatMap((folder) =>
    readdirSync(new URL(`../${folder}`, import.meta.url), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name),
  );

  test('has every guest', () => {
    expect([...guests].sort()).toEqual(sources.sort());
  });

  test.each(guests)('has every entrypoint of %s', (guest) => {
    const rows = expectations.filter((row) => row.guest === guest).map((row) => row.entrypoint);
    expect(Object.keys(guestManifest(guest).entrypoints).filter((name) => !rows.includes(name))).toEqual([]);
  });
});

describe.skipIf(!driver)(`guests on KVM${reason && ` (skipped: ${reason})`}`, () => {
  describe.each(guests)('%s', (guest) => {
    const rows = expectations.filter((row) => row.guest === guest);
    const calls = rows.filter((row) => row.phase !== 'init');
    let sandbox: Sandbox | undefined;

    beforeAll(async () => {
      if (driver && calls.length > 0) sandbox = await startGuest(driver, guest);
    });
    afterAll(() => sandbox?.close());

    test.each(calls.map((row) => [title(row), row] as const))('%s', async (_title, row) => {
      const report = await sandbox?.invoke(
        row.entrypoint,
        row.args.map(({ type, value }) => typed(type, value)),
        row.returns,
        { timeoutMs: row.timeoutMs ?? DEFAULT_TIMEOUT_MS },
      );
      expect({ outcome: report?.outcome, detail: report?.detail }).toEqual(matching(row));
      if (row.result !== undefined)
        expect(report?.value && toJsonValue(report.value)).toEqual({ type: row.returns, value: row.result });
    });

    const failsToStart = rows.filter((row) => row.phase === 'init');
    test.each(failsToStart.map((row) => [title(row), row] as const))('%s', async (_title, row) => {
      if (!driver) return;
      const error = await startGuest(driver, guest, {
        initTimeoutMs: row.outcome === 'timeout' ? INIT_TIMEOUT_MS : DEFAULT_TIMEOUT_MS,
      }).catch((reason: unknown) => reason);
      const failure = guestInitFailure(error);
      expect({ outcome: failure?.outcome, detail: failure?.detail }).toEqual(matching(row));
    });
  });
});
