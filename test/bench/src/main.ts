import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { AIMS, type Benchmark, type Row } from './row.js';
import { cellOverhead, cellSpawn, parkedCell } from './rows/cells.js';
import { e2e } from './rows/e2e.js';
import { guestCallJs, guestCallJsGuestSpans, guestCallJsTraced, hostCallJs } from './rows/javascript.js';
import { nativeRows } from './rows/native.js';
import { queueRows } from './rows/queue.js';

const BENCHMARKS: readonly Benchmark[] = [
  nativeRows,
  guestCallJs,
  guestCallJsTraced,
  guestCallJsGuestSpans,
  hostCallJs,
  cellOverhead,
  cellSpawn,
  parkedCell,
  queueRows,
  e2e,
];

const { values: options } = parseArgs({ options: { json: { type: 'string' }, only: { type: 'string' } } });
const known = BENCHMARKS.flatMap(({ rows }) => rows);
if (options.only !== undefined && !known.includes(options.only)) {
  process.stderr.write(`--only ${options.only}: no such row. Rows: ${known.join(', ')}\n`);
  process.exit(2);
}

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const scratchFolder = await mkdtemp(path.join(os.tmpdir(), 'mayfly-bench-'));
const measured: Row[] = [];
try {
  for (const benchmark of BENCHMARKS) {
    const wanted = benchmark.rows.filter((name) => options.only === undefined || name === options.only);
    if (wanted.length === 0) continue;
    const rows = await benchmark.run({ root, scratchFolder, wanted });
    for (const row of rows.filter(({ name }) => wanted.includes(name))) {
      measured.push(row);
      process.stdout.write(`${describe(row)}\n`);
    }
  }
} finally {
  await rm(scratchFolder, { recursive: true, force: true });
}
if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(measured, null, 2)}\n`);
// Gateways and workers of the floors hold sockets; all that was measured is written.
process.exit(0);

function describe({ name, unit, ours, floor, ratio, samples }: Row): string {
  const { atMost, atLeast, oursAtMost } = AIMS[name] ?? {};
  const bounds = [
    ...(atLeast === undefined ? [] : [{ text: `≥ ${atLeast}`, met: ratio >= atLeast }]),
    ...(atMost === undefined ? [] : [{ text: `≤ ${atMost}`, met: ratio <= atMost }]),
    ...(oursAtMost === undefined ? [] : [{ text: `ours ≤ ${oursAtMost} ${unit}`, met: ours <= oursAtMost }]),
  ];
  const verdict =
    bounds.length === 0
      ? 'reported'
      : `aim ${bounds.map(({ text }) => text).join(', ')}: ${bounds.every(({ met }) => met) ? 'met' : 'MISSED'}`;
  return `${name.padEnd(25)} ratio ${String(ratio).padEnd(8)} ours ${ours} ${unit}, floor ${floor} ${unit}, n ${samples}  ${verdict}`;
}
