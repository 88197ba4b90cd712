import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { toJsonValue } from '@mayfly/contracts';
import { guestInitFailure, type Sandbox } from '@mayfly/hypervisor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Expectation, expectations, matching, title } from './support/expectation.js';
import { kvmOrReason, startGuest, typed } from './support/guest.js';

const { driver, reason } = await kvmOrReason();
afterAll(() => driver?.close());

const DEFAULT_TIMEOUT_MS = 10_000;
/** For the guests that never get ready. */
const INIT_TIMEOUT_MS = 500;
const BUILD_TIMEOUT_MS = 300_000;
const GUEST_ERROR = 15;

/** As the Makefile has them. */
const NEEDS_SSE = ['api', 'echo', 'crash', 'hostcalls', 'libc', 'state'];
const BUILDS = [
  { folder: 'ring0', flags: ['RING0=1'], rows: expectations },
  {
    folder: 'ring0/nosse',
    flags: ['RING0=1', 'SSE=0'],
    rows: expectations.filter(({ guest }) => !NEEDS_SSE.includes(guest)),
  },
];

/** What is different in ring 0, and why. Everything else is in `inRing0`. */
const OTHERWISE: Readonly<Record<string, Partial<Expectation>>> = {
  // `int n` arrives at the guest's own gates; 0x80 has none.
  'crash Interrupt': { outcome: 'aborted', vector: 'GeneralProtectionFault' },
  'crash InterruptPageFault': { outcome: 'aborted', vector: 'PageFault' },
  // SCE is on and LSTAR 0: the call goes to address 0, which cannot be executed.
  'crash SystemCall': { outcome: 'aborted', vector: 'PageFault' },
  // The frame of an exception goes onto the guest's own stack: with none, the third fault is the last.
  'crash WildStack': { outcome: 'exception', vector: 'DoubleFault' },
  'privileged Iretq': { outcome: 'exception', vector: 'DoubleFault' },
  // The selector is one of the guest's own table.
  'privileged LoadSegment': { outcome: 'succeeded', result: 1 },
  'privileged FarReturn': { outcome: 'succeeded', result: 1 },
};

/**
 * The row of a guest that was built for ring 0. Exceptions go to its own handlers, which abort with code 15 and the
 * vector; so do accesses that its page tables refuse. What the host refuses by name, and the guard page, stay.
 */
function inRing0(row: Expectation): Expectation {
  const { vector, messageIncludes, result, guestCode, ...rest } = row;
  const otherwise = OTHERWISE[`${row.guest} ${row.entrypoint}`];
  if (otherwise?.outcome === 'aborted') return { ...rest, ...otherwise, guestCode: GUEST_ERROR };
  if (otherwise) return { ...rest, ...otherwise };
  if (messageIncludes?.startsWith('Unsupported privileged instruction')) return row;
  if (row.outcome === 'access-violation')
    return { ...rest, outcome: 'aborted', guestCode: GUEST_ERROR, vector: 'PageFault' };
  if (row.outcome !== 'exception') return row;
  return { ...rest, outcome: 'aborted', guestCode: GUEST_ERROR, ...(vector !== undefined && { vector }) };
}

describe.skipIf(!driver)(`guests built for ring 0 on KVM${reason && ` (skipped: ${reason})`}`, () => {
  describe.each(BUILDS)('$folder', ({ folder, flags, rows }) => {
    beforeAll(() => {
      const guests = fileURLToPath(new URL('..', import.meta.url));
      execFileSync('make', ['-C', guests, '-j2', ...flags], { stdio: 'pipe' });
    }, BUILD_TIMEOUT_MS);

    describe.each([...new Set(rows.map(({ guest }) => guest))])('%s', (guest) => {
      const here = rows
        .filter((row) => row.guest === guest)
        .map((row) => [title(inRing0(row)), inRing0(row)] as const);
      const calls = here.filter(([, row]) => row.phase !== 'init');
      const failsToStart = here.filter(([, row]) => row.phase === 'init');
      let sandbox: Sandbox | undefined;

      const start = async (initTimeoutMs = DEFAULT_TIMEOUT_MS) => {
        if (driver) return await startGuest(driver, `${folder}/${guest}`, { initTimeoutMs });
        return undefined;
      };
      afterAll(() => sandbox?.close());

      test.each(calls)('%s', async (_title, row) => {
        if (sandbox?.doubtful) {
          await sandbox.close();
          sandbox = undefined;
        }
        sandbox ??= await start();
        const report = await sandbox?.invoke(
          row.entrypoint,
          row.args.map(({ type, value }) => typed(type, value)),
          row.returns,
          { timeoutMs: row.timeoutMs ?? DEFAULT_TIMEOUT_MS },
        );
        expect({ outcome: report?.outcome, detail: report?.detail }).toEqual(matching(row));
        if (row.result !== undefined)
          expect(report?.value && toJsonValue(report.value)).toEqual({
            type: row.returns,
            value: row.result,
          });
      });

      test.each(failsToStart)('%s', async (_title, row) => {
        const error = await start(row.outcome === 'timeout' ? INIT_TIMEOUT_MS : DEFAULT_TIMEOUT_MS).catch(
          (reason: unknown) => reason,
        );
        const failure = guestInitFailure(error);
        expect({ outcome: failure?.outcome, detail: failure?.detail }).toEqual(matching(row));
      });
    });
  });

  test('an exception is told by the guest itself, with the place and the state that ring 0 would show', async () => {
    const sandbox = driver && (await startGuest(driver, 'ring0/crash'));
    const { detail } = (await sandbox?.invoke('WriteFar', [], 'int')) ?? {};
    expect(detail?.message).toMatch(
      /^Exception: PageFault \| Exception vector: 14\nFaulting Instruction: 0x[0-9a-f]+\nPage Fault Address: 0x400000000000\nError code: 0x2\nStack Pointer: 0x[0-9a-f]+$/,
    );
    await sandbox?.close();
  });

  test('a call begins behind what every call in ring 0 begins with', async () => {
    const sandbox = driver && (await startGuest(driver, 'ring0/echo'));
    expect(sandbox?.warm).toBe(true);
    expect((await sandbox?.invoke('EchoInt', [{ type: 'int', value: 7 }], 'int'))?.exits).toBe(1);
    // The two writes of CR4 and the read before them, then the halt.
    expect((await sandbox?.call('EchoInt', [{ type: 'int', value: 7 }], 'int'))?.exits).toBeGreaterThan(3);
    await sandbox?.close();
  });
});
