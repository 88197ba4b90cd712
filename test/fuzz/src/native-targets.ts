import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const keptFile = (name: string) => fileURLToPath(new URL(`../corpus-native/${name}`, import.meta.url));

/** Programs of `test/fuzz/native`, built by its Makefile. They draw inputs of their own; kept ones, a file, come first. */
export const NATIVE_TARGETS = [
  { name: 'decoder', program: 'decoder-fuzz', kept: keptFile('decoder.hex') },
  { name: 'page-walk', program: 'walk-fuzz', kept: keptFile('page-walk.txt') },
  { name: 'outbox', program: 'outbox-fuzz', kept: keptFile('outbox.txt') },
] as const;

/** Beyond its time, a program hangs. */
const GRACE_MS = 10_000;

/** Runs one, its kept inputs first; its exit code and what it printed, sanitizer reports included. */
export async function runNative(
  { program, kept }: { readonly program: string; readonly kept: string },
  { seconds, seed }: { readonly seconds: number; readonly seed: number },
): Promise<{ ok: boolean; output: string }> {
  const path = fileURLToPath(new URL(`../build/${program}`, import.meta.url));
  const child = spawn(path, [String(seconds), String(seed), kept], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: seconds * 1000 + GRACE_MS,
    killSignal: 'SIGKILL',
  });
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { ok: code === 0, output: (stdout + stderr).trimEnd() };
}
