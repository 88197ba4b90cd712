import { expect, test } from 'vitest';
import type { CrashDumpContext, DebugStop, RunObserver, TraceInfo } from '../src/index.js';
import type { FakeGuestFunction } from '../src/testing.js';
import { evolveFake, FUNCTIONS } from './fakes.js';

const int = (value: number) => ({ type: 'int', value }) as const;
const string = (value: string) => ({ type: 'string', value }) as const;

/** Ends of a call that the CPU reports, beside those of `FUNCTIONS`. */
const CRASHES: Record<string, FakeGuestFunction> = {
  *Crash(_args, { machine }) {
    yield { kind: 'next' };
    return machine.raise(6);
  },
  *ShutDown() {
    yield { kind: 'shutdown' };
    return { ok: true, value: { type: 'void' } };
  },
  *Stray() {
    yield { kind: 'mmio', address: 0x1_0000_0000n, write: true, lengthBytes: 8 };
    return { ok: true, value: { type: 'void' } };
  },
  *Stop() {
    yield { kind: 'retry' };
    yield { kind: 'debug', reason: 'step', rip: 0x1234n };
    return { ok: true, value: { type: 'int', value: 7 } };
  },
};

test('an observer sees each exit of initialisation and calls, before it is served', async () => {
  const traced: TraceInfo[] = [];
  const sandbox = await evolveFake(FUNCTIONS, { observer: { trace: (info) => traced.push(info) } });
  expect(traced.map(({ exit }) => exit.kind)).toEqual(['halt']);
  await sandbox.invoke('CallHost', [string('HostPrint'), string('x')], 'int');
  expect(traced.slice(1).map(({ exit }) => exit.kind)).toEqual(['io-out', 'halt']);
  expect(traced.at(-1)?.registers.rsp).toBeGreaterThan(0n);
});

test('an observer is given the context of crashes, and of nothing else', async () => {
  const crashes: (Pick<CrashDumpContext, 'fault' | 'registers'> & { firstBytes: Uint8Array })[] = [];
  const stops: DebugStop[] = [];
  const observer: RunObserver = {
    crash: ({ fault, registers, regions, read }) =>
      crashes.push({ fault, registers, firstBytes: read(regions[0]?.address ?? 0, 4) }),
    debug: async (stop) => void stops.push(stop),
  };
  const sandbox = await evolveFake({ ...FUNCTIONS, ...CRASHES }, { observer });
  await sandbox.invoke('Spin', [], 'int', { timeoutMs: 5 });
  await sandbox.invoke('Abort', [int(3), string('gone')], 'int');
  await sandbox.invoke('Fail', [], 'int');
  expect(crashes).toEqual([]);

  const ended = await sandbox.invoke('Crash', [], 'int');
  expect(crashes).toMatchObject([{ fault: { reason: 'exception', detail: ended.detail } }]);
  expect(Buffer.from(crashes[0]?.firstBytes ?? []).toString('latin1')).toBe('\x7fELF');
  await sandbox.invoke('Stray', [], 'int');
  expect(crashes.map(({ fault }) => fault.reason)).toEqual(['exception', 'mmio']);
  // A debugger is not stopped for a stray access (guest-abi 12.2).
  expect(stops).toMatchObject([{ kind: 'crash', fault: { reason: 'exception' } }]);
  await sandbox.invoke('ShutDown', [], 'int');
  expect(crashes.at(-1)?.fault.reason).toBe('shutdown');
});

test('a guest that was stopped goes on when its debugger lets it, and a retry is entered again', async () => {
  const stops: DebugStop[] = [];
  const kinds: string[] = [];
  const sandbox = await evolveFake(CRASHES, {
    observer: { debug: async (stop) => void stops.push(stop), trace: ({ exit }) => kinds.push(exit.kind) },
  });
  const report = await sandbox.invoke('Stop', [], 'int');
  expect(report).toMatchObject({ outcome: 'succeeded', value: { value: 7 } });
  expect(kinds).toEqual(['halt', 'retry', 'debug', 'halt']);
  expect(stops).toEqual([{ kind: 'debug', reason: 'step', rip: 0x1234n }]);
});

test('a stop for a debugger that is not there is a fault of the host', async () => {
  const sandbox = await evolveFake(CRASHES);
  expect(await sandbox.invoke('Stop', [], 'int')).toMatchObject({
    outcome: 'host-fault',
    detail: { message: 'Unexpected VM Exit "debug: step"' },
  });
  expect(sandbox.doubtful).toBe(true);
});
