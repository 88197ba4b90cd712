import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { check } from './check.mjs';
import { main, say } from './lib/console.mjs';
import { root, run } from './lib/exec.mjs';
import { setup } from './lib/setup.mjs';

const total = { passed: 0, failed: 0, skipped: 0 };
/** Tools that Mayfly does without: a test that says `(needs cargo)`, say, in its title may be skipped, with its reason there. */
const OPTIONAL_TOOLS = ['cargo', 'otelcol'];
/** Titles of the suites that were skipped for want of one. */
const withoutTool = new Map();

await main(async () => {
  await setup({ programs: ['redis-server', 'zbarimg', 'rsvg-convert', 'strace', 'promtool'] });
  say('\nchecks');
  await check().then(
    () => add(1, 0, 0),
    (error) => {
      say(error.message);
      add(0, 1, 0);
    },
  );
  for (const target of ['test', 'test-asan', 'test-tsan']) await cxxTests('libs/native', target);
  await cxxTests('guests', 'test');
  await vitest();

  const kvm = usable('/dev/kvm');
  if (!kvm) say('\n/dev/kvm cannot be used here: the KVM tests above are skipped.');
  for (const [title, tests] of withoutTool) say(`\nskipped, ${tests} tests: ${title}`);
  const optional = [...withoutTool.values()].reduce((sum, tests) => sum + tests, 0);
  const skippedWithoutReason = kvm && total.skipped > optional;
  if (skippedWithoutReason) say('\n/dev/kvm works, so no test may be skipped.');
  say(`\ntests: ${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed > 0 || total.passed === 0 || skippedWithoutReason ? 1 : 0;
});

/** A C or C++ suite: its last line is `N passed, N failed[, N skipped]`. */
async function cxxTests(folder, target) {
  say(`\n${folder}: ${target}`);
  const { code, output } = await run('make', ['-C', folder, '-j2', target], {
    allowFailure: true,
    env: { CI: '1' },
  });
  const counts = [...output.matchAll(/^(?:\w[\w -]*: )?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm)];
  for (const [line, passed, failed, skipped] of counts) {
    say(`  ${line}`);
    add(Number(passed), Number(failed), Number(skipped ?? 0));
  }
  if (code === 0 && counts.length > 0) return;
  say(output.slice(-8000));
  if (counts.every((count) => count[2] === '0')) add(0, 1, 0);
}

async function vitest() {
  say('\nvitest');
  const report = path.join(root, 'node_modules/.mayfly/vitest.json');
  mkdirSync(path.dirname(report), { recursive: true });
  const { code } = await run(
    'node_modules/.bin/vitest',
    ['run', '--reporter=dot', '--reporter=json', `--outputFile.json=${report}`],
    { show: true, allowFailure: true },
  );
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(
    readFileSync(report, 'utf8'),
  );
  countOptional(testResults.flatMap(({ assertionResults }) => assertionResults));
  add(numPassedTests, numFailedTests, numPendingTests + numTodoTests);
  // A file that cannot be loaded, or an unhandled rejection, fails the run without a failed test.
  if (code !== 0 && numFailedTests === 0) add(0, 1, 0);
}

function countOptional(tests) {
  const titles = OPTIONAL_TOOLS.map((tool) => `(needs ${tool})`);
  for (const { status, ancestorTitles } of tests) {
    const suite = ancestorTitles.find((title) => titles.some((mark) => title.endsWith(mark)));
    if (suite === undefined || status === 'passed' || status === 'failed') continue;
    withoutTool.set(suite, (withoutTool.get(suite) ?? 0) + 1);
  }
}

function add(passed, failed, skipped) {
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
}

function usable(device) {
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
