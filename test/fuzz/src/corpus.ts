import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** The kept inputs of a target, in the order of their names. */
export function readCorpus(target: string): Uint8Array[] {
  const folder = path.join(here, 'corpus', target);
  return readdirSync(folder)
    .sort()
    .map((file) => new Uint8Array(readFileSync(path.join(folder, file))));
}

/** Adds an input under a name that says what it is. */
export function writeCorpus(target: string, name: string, input: Uint8Array): void {
  const folder = path.join(here, 'corpus', target);
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, name), input);
}

/** Saves what broke a target, outside of the corpus. @returns the file's path */
export function saveFinding(target: string, input: Uint8Array): string {
  const folder = path.join(here, 'build', 'findings');
  mkdirSync(folder, { recursive: true });
  const name = createHash('sha256').update(input).digest('hex').slice(0, 16);
  const file = path.join(folder, `${target}-${name}.bin`);
  writeFileSync(file, input);
  return file;
}
