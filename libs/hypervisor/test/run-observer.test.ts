import { expect, test } from 'vitest';
import type { CrashDumpContext, RunObserver, TraceInfo } from '../src/index.js';
import { evolveFake, FUNCTIONS } from './fakes.js';

const int = (value: number) => ({ type: 'int', value }) as const;
const string = (value: string) => ({ type: 'string', value }) as const;

test('an observer sees each exit of initialisation and calls, and the context of a crash only', async () => {
  const traced: TraceInfo[] = [];
  const crashes: (Pick<CrashDumpContext, 'fault' | 'registers'> & { firstBytes: Uint8Array })[] = [];
  const observer: RunObserver = {
    trace: (info) => traced.push(info),
    crash: ({ fault, registers, regions, read }) =>
      crashes.push({ fault, registers, firstBytes: read(regions[0]?.address ?? 0, 4) }),
  };
  const sandbox = await evolveFake(FUNCTIONS, { observer });
  expect(traced.map(({ exit }) => exit.kind)).toEqual(['halt']);
  await sandbox.invoke('CallHost', [string('HostPrint'), string('x')], 'int');
  expect(traced.slice(1).map(({ exit }) => exit.kind)).toEqual(['io-out', 'halt']);
  expect(traced.at(-1)?.registers.rsp).toBeGreaterThan(0n);
  await sandbox.invoke('Spin', [], 'int', { timeoutMs: 5 });
  expect(crashes).toEqual([]);

  await sandbox.invoke('Abort', [int(3), string('gone')], 'int');
  expect(crashes).toMatchObject([{ fault: { reason: 'abort', detail: { message: 'gone' } } }]);
  expect(crashes[0]?.registers).toEqual(traced.at(-1)?.registers);
  expect(Buffer.from(crashes[0]?.firstBytes ?? []).toString('latin1')).toBe('\x7fELF');
});
