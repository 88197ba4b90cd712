import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fail, main, say } from './lib/console.mjs';
import { root, run } from './lib/exec.mjs';

/** Fewer than this, and the checkers did not see the project. */
const FEWEST_FILES = 60;

/** Lint, format, cycles and promises (Biome), types (tsc), direction of imports (dependency-cruiser). */
export async function check() {
  const biome = await run('node_modules/.bin/biome', ['check', '--error-on-warnings', '.']);
  counted('biome', /Checked (\d+) files/, biome.output);
  await run('node_modules/.bin/tsc', ['-b']);
  const types = await run('node_modules/.bin/tsc', ['-p', 'test', '--listFilesOnly']);
  counted('tsc', types.output.split('\n').filter((file) => !file.includes('node_modules')).length);
  await run('node_modules/.bin/tsc', ['-p', 'test']);
  const arrows = await run('node_modules/.bin/depcruise', [
    ...['apps', 'libs', 'infra'].flatMap((floor) =>
      readdirSync(path.join(root, floor))
        .map((room) => `${floor}/${room}/src`)
        .filter((source) => existsSync(path.join(root, source))),
    ),
    '--config',
    '.dependency-cruiser.cjs',
  ]);
  counted('imports', /\((\d+) modules/, arrows.output);
}

function counted(name, patternOrCount, output) {
  const count =
    typeof patternOrCount === 'number' ? patternOrCount : Number(patternOrCount.exec(output)?.[1] ?? 0);
  if (count < FEWEST_FILES) fail(`${name} looked at ${count} files only: it does not see the project.`);
  say(`${name.padEnd(10)} ${count} files`);
}

if (process.argv[1] === new URL(import.meta.url).pathname) await main(check);
