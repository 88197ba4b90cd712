import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Verdict } from './checker.js';
import type { Scenario } from './scenario.js';
import { SCENARIOS } from './scenarios/index.js';

const USAGE =
  'drill [--json FILE] [--seconds N] [--only SCENARIO[,SCENARIO…]]\n' +
  'seconds: how long callers ask while faults happen, in scenarios that choose (8)\n' +
  `scenarios: ${SCENARIOS.map(({ name }) => name).join(', ')}\n`;
/** All scenarios then take some eight minutes on two cores. */
const DEFAULT_SECONDS = 8;
/** Of one kind: the rest are more of the same. */
const SHOWN_VIOLATIONS = 10;

interface Result {
  readonly scenario: string;
  readonly elapsedS: number;
  readonly skipped?: string;
  readonly counts: Verdict['counts'];
  readonly violations: Verdict['violations'];
}

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { json: { type: 'string' }, seconds: { type: 'string' }, only: { type: 'string' } },
  });
  const seconds = Number(values.seconds ?? DEFAULT_SECONDS);
  const wanted = values.only?.split(',') ?? SCENARIOS.map(({ name }) => name);
  const unknown = wanted.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name));
  if (!(seconds > 0) || unknown.length > 0) {
    process.stderr.write(USAGE);
    return 2;
  }
  const results: Result[] = [];
  for (const scenario of SCENARIOS) {
    if (!wanted.includes(scenario.name)) continue;
    process.stdout.write(`${scenario.name}: ${scenario.title}\n`);
    const result = await runOne(scenario, seconds);
    print(result);
    results.push(result);
  }
  const violations = results.reduce((sum, result) => sum + result.violations.length, 0);
  const skipped = results.filter((result) => result.skipped !== undefined).length;
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify({ seconds, violations, results }, undefined, 2)}\n`);
  process.stdout.write(
    `${results.length - skipped} scenarios played, ${skipped} skipped, ${violations} promises broken\n`,
  );
  return violations === 0 ? 0 : 1;
}

async function runOne(scenario: Scenario, seconds: number): Promise<Result> {
  const startedAt = performance.now();
  const verdict = await scenario.run({ seconds }).catch(
    (error: unknown): Verdict => ({
      counts: {},
      violations: [`the scenario failed: ${error instanceof Error ? error.stack : String(error)}`],
    }),
  );
  const elapsedS = Math.round((performance.now() - startedAt) / 1000);
  return typeof verdict === 'string'
    ? { scenario: scenario.name, elapsedS, skipped: verdict, counts: {}, violations: [] }
    : { scenario: scenario.name, elapsedS, ...verdict };
}

function print({ elapsedS, skipped, counts, violations }: Result): void {
  if (skipped !== undefined) process.stdout.write(`  skipped: ${skipped}\n`);
  for (const [name, count] of Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)))
    process.stdout.write(`  ${String(count).padStart(6)} ${name}\n`);
  for (const violation of violations.slice(0, SHOWN_VIOLATIONS))
    process.stdout.write(`  BROKEN ${violation}\n`);
  if (violations.length > SHOWN_VIOLATIONS)
    process.stdout.write(`  BROKEN … and ${violations.length - SHOWN_VIOLATIONS} more\n`);
  process.stdout.write(`  ${elapsedS} s\n`);
}
