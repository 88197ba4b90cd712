import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { saveFinding } from './corpus.js';
import { examine } from './fuzzer.js';
import { NATIVE_TARGETS, runNative } from './native-targets.js';
import { TARGETS } from './targets/index.js';
import { watchedRun } from './watched-run.js';

const USAGE =
  'fuzz [--seconds N] [--only TARGET] [--seed N] | fuzz --only TARGET --input FILE\n' +
  `targets: ${[...TARGETS, ...NATIVE_TARGETS].map(({ name }) => name).join(', ')}\n`;
const DEFAULT_SECONDS = 10;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string' },
      only: { type: 'string' },
      seed: { type: 'string' },
      input: { type: 'string' },
    },
  });
  const seconds = Number(values.seconds ?? DEFAULT_SECONDS);
  const seed = Number(values.seed ?? randomInt(2 ** 31));
  const targets = TARGETS.filter(({ name }) => values.only === undefined || values.only === name);
  const natives = NATIVE_TARGETS.filter(({ name }) => values.only === undefined || values.only === name);
  const [first] = targets;
  const isKnown = targets.length + natives.length > 0 && seconds > 0 && Number.isInteger(seed);
  const isReplay = values.input !== undefined;
  if (!isKnown || (isReplay && (first === undefined || values.only === undefined))) {
    process.stderr.write(USAGE);
    return 2;
  }
  if (values.input !== undefined && first) {
    const { answer, finding } = examine(first, new Uint8Array(readFileSync(values.input)));
    process.stdout.write(`${finding ?? answer}\n`);
    return finding === undefined ? 0 : 1;
  }

  process.stdout.write(`seed ${seed}, ${seconds} s a target\n`);
  let findings = 0;
  for (const target of targets) {
    const { inputs, answers, finding } = await watchedRun(target, { seed, seconds });
    process.stdout.write(`${target.name.padEnd(12)} ${inputs} inputs, ${answers} different answers\n`);
    if (finding === undefined) continue;
    findings++;
    const file = saveFinding(target.name, finding.input);
    process.stdout.write(`  FINDING ${finding.text}\n  saved as ${file}\n`);
    process.stdout.write(`  again: npm run fuzz -- --only ${target.name} --input ${file}\n`);
  }
  for (const target of natives) {
    const { ok, output } = await runNative(target, { seconds, seed });
    process.stdout.write(`${output}\n`);
    if (!ok) findings++;
  }
  process.stdout.write(`${findings} findings\n`);
  return findings === 0 ? 0 : 1;
}
