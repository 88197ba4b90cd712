import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { fail } from './console.mjs';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** The path of a program on PATH, or undefined. */
export function which(program) {
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    const candidate = path.join(folder, program);
    if (folder !== '' && existsSync(candidate)) return candidate;
  }
  return undefined;
}

/**
 * Runs a program to its end. Its output is held back and shown only when it fails, unless `show` is set.
 * Returns { code, output }; throws when it fails, unless `allowFailure` is set.
 */
export async function run(command, args, { cwd = root, env = {}, show = false, allowFailure = false } = {}) {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      chunks.push(chunk);
      if (show) process.stdout.write(chunk);
    });
  }
  const [code, signal] = await Promise.race([
    once(child, 'close'),
    once(child, 'error').then(([error]) => fail(`${command}: ${error.message}`)),
  ]);
  const output = Buffer.concat(chunks).toString('utf8');
  if (code !== 0 && !allowFailure) {
    const text = show ? '' : `\n${output.slice(-8000)}`;
    fail(`${[command, ...args].join(' ')} failed (${signal ?? `exit ${code}`})${text}`);
  }
  return { code: code ?? 1, output };
}
