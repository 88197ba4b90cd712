import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { recordCall } from '../record-call.js';
import { type Benchmark, row } from '../row.js';

const execute = promisify(execFile);
const UNITS: Readonly<Record<string, string>> = {
  'parked-sandbox': 'KiB',
  'two-threads': 'calls/s',
  'two-threads-bare': 'exits/s',
};
/** Writable memory and pages that a call dirties, as kvm-facts D has them. */
const RESTORES = [
  '64k-4',
  '64k-16',
  '1m-4',
  '1m-16',
  '1m-64',
  '1m-256',
  '16m-4',
  '16m-16',
  '16m-64',
  '16m-256',
  '1g-16',
];

/** Rows timed on the slot's thread by a C++ program over the core; the library records what it has to replay. */
export const nativeRows: Benchmark = {
  rows: [
    'warm-call',
    'guest-call',
    'ring0-guest-call',
    ...RESTORES.map((sizes) => `restore-${sizes}`),
    'host-call-native',
    'two-threads',
    'two-threads-bare',
    'cold-call',
    'cold-call-recycled',
    'first-call',
    'kill',
    'parked-sandbox',
  ],
  async run({ root, scratchFolder, wanted }) {
    const recording = path.join(scratchFolder, 'echo.call');
    const elf = path.join(root, 'guests/build/echo.elf');
    await recordCall(elf, 'EchoString', { type: 'string', value: 'hello world' }, recording);
    const program = path.join(root, 'test/bench/build/bench-native');
    const { stdout } = await execute(program, [recording, ...wanted], { maxBuffer: 64 << 20 });
    return stdout
      .trim()
      .split('\n')
      .map((line) => {
        const [name, ...words] = line.split(' ') as [string, ...string[]];
        const bar = words.indexOf('|');
        const numbers = (list: string[]) => list.map(Number);
        return row(name, UNITS[name] ?? 'us', numbers(words.slice(0, bar)), numbers(words.slice(bar + 1)));
      });
  },
};
