import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { fail, say } from './console.mjs';
import { run, which } from './exec.mjs';

/** Programs that the commands need beyond Node, npm, gcc/g++, make and python3, and their Debian packages. */
const PACKAGES = {
  'redis-server': 'redis-server',
  zbarimg: 'zbar-tools',
  'rsvg-convert': 'librsvg2-bin',
  strace: 'strace',
  wrk: 'wrk',
  promtool: 'prometheus',
};

const BASE = { gcc: 'gcc', 'g++': 'g++', make: 'make', python3: 'python3' };

/** Makes sure that the programs are on PATH: installs them as root or by sudo, else names them and stops. */
export async function ensurePrograms(programs) {
  const missing = programs.filter((program) => which(program) === undefined);
  if (missing.length === 0) return say(`packages   skipped: ${programs.join(', ')} present`);
  const names = missing.map((program) => PACKAGES[program] ?? BASE[program]);
  const advice = `apt-get update && apt-get install -y --no-install-recommends ${names.join(' ')}`;
  const isRoot = process.getuid?.() === 0;
  const sudo = isRoot ? [] : which('sudo') !== undefined ? ['sudo', '-n'] : undefined;
  if (which('apt-get') === undefined)
    fail(`Missing programs: ${missing.join(', ')}. Install them and start again.`);
  if (sudo === undefined) fail(`Missing packages: ${names.join(', ')}. As root:\n  ${advice}`);
  say(`packages   installing ${names.join(', ')}`);
  const aptGet = (...args) => {
    const [command, ...rest] = [...sudo, 'apt-get', ...args];
    return run(command, rest, { env: { DEBIAN_FRONTEND: 'noninteractive' } });
  };
  await withoutServices(isRoot, async () => {
    await aptGet('update', '-qq');
    await aptGet('install', '-y', '-qq', '--no-install-recommends', ...names);
  }).catch((error) => fail(`Could not install ${names.join(', ')}. As root:\n  ${advice}\n${error.message}`));
}

/** Debian starts a server that it installs; ours are private, so the system's own stays off. */
async function withoutServices(isRoot, install) {
  const policy = '/usr/sbin/policy-rc.d';
  const ours = isRoot && !existsSync(policy);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    await install();
  } finally {
    if (ours) rmSync(policy, { force: true });
  }
}
