import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fail, say } from './console.mjs';
import { root, run } from './exec.mjs';
import { ensurePrograms } from './packages.mjs';

const PNPM = ['-y', 'pnpm@12.21.0'];
const BASE_PROGRAMS = ['gcc', 'g++', 'make', 'python3'];

/** Everything a fresh clone needs. `programs` are those that the calling command needs beside the base. */
export async function setup({ programs = [] } = {}) {
  checkNode();
  await ensurePrograms([...BASE_PROGRAMS, ...programs]);
  await installDependencies();
  await build();
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const ok = (major === 20 && minor >= 19) || major >= 24;
  if (!ok) fail(`Node ${process.versions.node} is not supported: use 20.19 or later of 20, or 24 and later.`);
}

async function installDependencies() {
  const inputs = ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json'];
  await step('npm', inputs, path.join(root, 'node_modules/.modules.yaml'), () =>
    run('npx', [...PNPM, 'install', '--frozen-lockfile'], { env: { CI: 'true' } }),
  );
}

/** Addon, guests and TypeScript; each tool skips what is up to date by itself. */
export async function build() {
  await timed('addon', () => run('make', ['-C', 'libs/native', '-j2']));
  await timed('guests', () => run('make', ['-C', 'guests', '-j2']));
  await timed('typescript', () => run('node_modules/.bin/tsc', ['-b', '--verbose']));
}

async function timed(name, action) {
  const started = Date.now();
  const { output } = await action();
  // make says that it had nothing to do; tsc names each project that it builds.
  const idle =
    /Nothing to be done/.test(output) || (/is up to date/.test(output) && !/Building project/.test(output));
  const ms = Date.now() - started;
  say(`${name.padEnd(10)} ${idle ? 'skipped: up to date' : `built in ${(ms / 1000).toFixed(1)} s`}`);
}

/** Runs an action unless its product exists and its inputs have the hashes of the last success. */
async function step(name, inputs, product, action) {
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(readFileSync(path.join(root, input)));
  const stampFile = path.join(root, 'node_modules/.mayfly', `${name}.stamp`);
  const stamp = hash.digest('hex');
  if (existsSync(product) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) {
    return say(`${name.padEnd(10)} skipped: unchanged since the last set-up`);
  }
  const started = Date.now();
  await action();
  mkdirSync(path.dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, stamp);
  say(`${name.padEnd(10)} done in ${((Date.now() - started) / 1000).toFixed(1)} s`);
}
