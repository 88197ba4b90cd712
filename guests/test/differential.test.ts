import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { DriverVm, HypervisorDriver, MemoryWrite, Privilege, RunAnswer } from '@mayfly/hypervisor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Expectation, expectations, title } from './support/expectation.js';
import { kvmOrReason, startGuest, typed } from './support/guest.js';

/**
 * The same guest, built for ring 0 without SSE, at CPL 3 with ring 0 done for it and in ring 0 of its VM as the reference
 * runs it: outcome, every OUT, texts and all of guest memory after the call are the same. Bytes that must differ:
 *
 * - the stack's cookie, which the library draws for each sandbox;
 * - A and D bits of the page tables, which the CPU sets in those that it walks: at CPL 3 they are only believed in;
 * - the `hlt` that ended a run, which becomes an `out` at CPL 3.
 *
 * An access to the guard page is an exit of the hypervisor in ring 0 and a page fault at CPL 3, which alone knows its
 * instruction: there the kind of exit and `rip` are not compared.
 *
 * Seed, generation and PEB, drawn by the library too, are made the same here.
 */
const { driver, reason } = await kvmOrReason();
afterAll(() => driver?.close());

const BUILD_TIMEOUT_MS = 300_000;
/** Ring 0 may be emulated, an instruction at a time. */
const TEST_TIMEOUT_MS = 60_000;
const COOKIE_BYTES = 16;
const GENERATION_OFFSET = 0x100;
const GENERATION_BYTES = 40;
const ACCESSED_AND_DIRTY = 0x60;
const HLT = 0xf4;
const OUT_DX_AL = 0xee;

/** Without `trace`, whose batches carry time stamps, and what is long where an instruction costs a microsecond. */
const GUESTS = [
  'abort-framing',
  'errors',
  'heap',
  'hello',
  'host-call-lies',
  'output',
  'own-dispatcher',
  'ports',
  'privileged',
  'stack',
];
/** `ltr` does nothing at CPL 3, where the host keeps its own task register; ring 0 refuses its null selector. */
const OTHERWISE = ['privileged Ltr'];

/** Without the instructions that are refused by name at CPL 3, and that ring 0 executes or refuses by itself. */
const CALLS = expectations.filter(
  ({ guest, entrypoint, phase, outcome, messageIncludes }) =>
    phase !== 'init' &&
    outcome !== 'timeout' &&
    GUESTS.includes(guest) &&
    !OTHERWISE.includes(`${guest} ${entrypoint}`) &&
    !messageIncludes?.startsWith('Unsupported privileged instruction') &&
    !/flood|ever|huge|churn/i.test(entrypoint),
);

interface Run {
  readonly exit: unknown;
  readonly outbox: readonly (readonly [port: number, hex: string])[];
}

interface Recorder {
  readonly driver: HypervisorDriver;
  readonly runs: Run[];
  readonly vm: () => DriverVm;
  /** Bytes of page tables from address 0, and the address of the cookie: from the plan. */
  readonly places: { tablesBytes: number; cookieAt: number };
}

/** Records what comes out of each run, and makes the same what is drawn at random. */
function recording(real: HypervisorDriver): Recorder {
  const runs: Run[] = [];
  let vm: DriverVm | undefined;
  let pebAddress = 0;
  const places = { tablesBytes: 0, cookieAt: 0 };
  const settle = (writes: readonly MemoryWrite[] = []) =>
    writes.map((write) =>
      write.address === pebAddress + GENERATION_OFFSET && write.bytes.byteLength === GENERATION_BYTES
        ? { ...write, bytes: new Uint8Array(GENERATION_BYTES).fill(7) }
        : write,
    );
  const record = (target: DriverVm) =>
    new Proxy(target, {
      get: (_, key) => {
        if (key === 'run')
          return async (request: Parameters<DriverVm['run']>[0]): Promise<RunAnswer> => {
            const entry = request.entry?.rsi ? { ...request.entry, rsi: 99n } : request.entry;
            const { entry: _entry, ...rest } = request;
            const answer = await target.run({
              ...rest,
              ...(entry && { entry }),
              writes: settle(request.writes),
            });
            const outbox = answer.outbox.map(
              ({ port, bytes }) => [port, Buffer.from(bytes).toString('hex')] as const,
            );
            runs.push({ exit: answer.exit, outbox });
            return answer;
          };
        const member = Reflect.get(target, key, target) as unknown;
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
  return {
    runs,
    vm: () => vm as DriverVm,
    places,
    driver: {
      name: real.name,
      createVm: async (plan) => {
        // The PEB is the part of 120 bytes (guest-abi 3).
        places.tablesBytes = plan.load[0]?.bytes.byteLength ?? 0;
        places.cookieAt = plan.load.findLast(({ bytes }) => bytes.byteLength === COOKIE_BYTES)?.address ?? 0;
        const peb = plan.load.find(({ bytes }) => bytes.byteLength === 120) as MemoryWrite;
        pebAddress = peb.address;
        const bytes = peb.bytes.slice();
        bytes.fill(5, 0, 8);
        const load = plan.load.map((write) => (write === peb ? { ...peb, bytes } : write));
        vm = await real.createVm({ ...plan, load });
        return record(vm);
      },
      createVmFromSnapshot: (snapshot) => real.createVmFromSnapshot(snapshot),
      close: () => real.close(),
    },
  };
}

async function play(real: HypervisorDriver, row: Expectation, privilege: Privilege) {
  const recorder = recording(real);
  const sandbox = await startGuest(recorder.driver, `ring0/nosse/${row.guest}`, {
    privilege,
    initTimeoutMs: 30_000,
  });
  try {
    const args = row.args.map(({ type, value }) => typed(type, value));
    const report = await sandbox.call(row.entrypoint, args, row.returns, { timeoutMs: 30_000 });
    const { outcome, value, logs, printed, debugPrinted, hostCalls } = report;
    const { runs } = recorder;
    let { detail } = report;
    if (outcome === 'stack-overflow' && detail) {
      const { rip: _rip, ...rest } = detail;
      detail = rest;
      runs.splice(-1, 1, { exit: 'guard page', outbox: runs.at(-1)?.outbox ?? [] });
    }
    const memory = Buffer.from(recorder.vm().read(0, sandbox.memoryBytes));
    return {
      told: { outcome, value, detail, logs, printed, debugPrinted, hostCalls, runs },
      memory: comparable(memory, recorder.places),
    };
  } finally {
    await sandbox.close();
  }
}

/** Guest memory without what must differ. */
function comparable(memory: Buffer, { tablesBytes, cookieAt }: Recorder['places']): Buffer {
  const bytes = Buffer.from(memory);
  for (let at = 0; at < tablesBytes; at += 8) bytes[at] = (bytes[at] as number) & ~ACCESSED_AND_DIRTY;
  bytes.fill(0, cookieAt, cookieAt + COOKIE_BYTES);
  return bytes;
}

/** Where the two differ, but for a halt that was patched. */
function differences(user: Buffer, supervisor: Buffer): string[] {
  const found: string[] = [];
  for (let at = 0; at < user.byteLength; at++) {
    if (user[at] === supervisor[at]) continue;
    if (user[at] === OUT_DX_AL && supervisor[at] === HLT) continue;
    found.push(`0x${at.toString(16)}: ${user[at]} at CPL 3, ${supervisor[at]} in ring 0`);
  }
  return found;
}

describe.skipIf(!driver)(`a guest at CPL 3 and in ring 0 on KVM${reason && ` (skipped: ${reason})`}`, () => {
  beforeAll(() => {
    const guests = fileURLToPath(new URL('..', import.meta.url));
    execFileSync('make', ['-C', guests, '-j2', 'RING0=1', 'SSE=0'], { stdio: 'pipe' });
  }, BUILD_TIMEOUT_MS);

  test.each(CALLS.map((row) => [`${row.guest} ${title(row)}`, row] as const))(
    '%s, the same in both',
    async (_title, row) => {
      const real = driver as HypervisorDriver;
      const user = await play(real, row, 'user');
      const supervisor = await play(real, row, 'supervisor');
      expect(user.told).toEqual(supervisor.told);
      expect(differences(user.memory, supervisor.memory)).toEqual([]);
    },
    TEST_TIMEOUT_MS,
  );
});
