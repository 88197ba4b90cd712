import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { read, root, rowsOf } from './markdown.js';
import { sourceFiles } from './source-files.js';

const PAGE = 'docs/configuration.md';
const rows = rowsOf(read(PAGE), /^[A-Z][A-Z_]+$/);
const documented = rows.map(([name]) => name).sort();

/** Variables that a config.ts names, each with its default where that is a plain number or word. */
function settingsOf(file: string): Map<string, string | undefined> {
  const entries = read(file)
    .split(/(?=\b(?:name|variable): 'MAYFLY_|\binteger\('MAYFLY_)/)
    .slice(1)
    .map((entry) => entry.split(/\n {2}\}|\n {2}\w+: /)[0] ?? '');
  return new Map(
    entries.map((entry) => {
      const name = /'(MAYFLY_[A-Z_]+)'/.exec(entry)?.[1] ?? '';
      const fallback =
        /fallback: \(\) => (?:'([^']*)'|([\d_]+))(?=\s*[,}])/.exec(entry) ??
        /integer\('MAYFLY_[A-Z_]+', ()([\d_]+),/.exec(entry);
      return [name, fallback?.[1] || fallback?.[2]?.replaceAll('_', '')];
    }),
  );
}

/** Variables that a file reads from the environment by itself. */
function readsOf(file: string): string[] {
  const reads = read(file).matchAll(/process\.env(?:\.([A-Z_]+)|\[['"]([A-Z_]+)['"]\])/g);
  return [...reads].map((match) => match[1] ?? match[2] ?? '');
}

const CONFIGS = ['apps/gateway/src/config.ts', 'apps/worker/src/config.ts'];
/** The library's one variable, which the reference host has, too (guest-abi 4.4). */
const LIBRARY_READS: Readonly<Record<string, readonly string[]>> = {
  'libs/hypervisor/src/hypervisor.ts': ['RUST_LOG'],
};
/** A process's entry hands its environment to its config.ts, whole. */
const ENTRIES = ['apps/gateway/src/server.ts', 'apps/gateway/src/operator-key.ts', 'apps/worker/src/main.ts'];

describe(PAGE, () => {
  test('names every variable that the code reads, and no other', () => {
    const launcher = sourceFiles('scripts').flatMap(readsOf);
    const read = new Set([
      ...CONFIGS.flatMap((file) => [...settingsOf(file).keys()]),
      ...launcher.filter((name) => name.startsWith('MAYFLY_')),
      ...Object.values(LIBRARY_READS).flat(),
    ]);
    expect(read.size).toBeGreaterThan(15);
    expect(documented).toEqual([...read].sort());
  });

  test.each(CONFIGS)('has the defaults of %s', (file) => {
    const defaults = [...settingsOf(file)].filter(([, fallback]) => fallback !== undefined);
    expect(defaults.length).toBeGreaterThan(3);
    for (const [name, fallback] of defaults)
      expect(rows.find((row) => row[0] === name)?.[1], name).toBe(fallback);
  });
});

test('the README’s table of settings names variables that exist', () => {
  const named = rowsOf(read('README.md'), /^MAYFLY_/).map(([name]) => name);
  expect(named.length).toBeGreaterThan(0);
  expect(documented).toEqual(expect.arrayContaining(named));
});

test('only config.ts, scripts and tests read the environment', () => {
  const files = sourceFiles('apps', 'libs').filter(
    (file) => /\/src\/.*\.[cm]?[jt]s$/.test(file) && existsSync(path.join(root, file)),
  );
  expect(files.length).toBeGreaterThan(60);
  const found = files.flatMap((file) => {
    const mentions = read(file).match(/\bprocess\.env\b|\bfrom 'node:process'|process\['env'\]/g) ?? [];
    const allowed = ENTRIES.includes(file)
      ? (read(file).match(/loadConfig\(process\.env\)/g) ?? []).length
      : readsOf(file).filter((name) => LIBRARY_READS[file]?.includes(name)).length;
    return mentions.length > allowed && !CONFIGS.includes(file) ? [file] : [];
  });
  expect(found).toEqual([]);
});

test('native code reads no environment', () => {
  const files = sourceFiles('libs/native/src').filter((file) => /\.(cc|hpp)$/.test(file));
  expect(files.length).toBeGreaterThan(20);
  expect(files.filter((file) => existsSync(path.join(root, file)) && /\bgetenv\b/.test(read(file)))).toEqual(
    [],
  );
});
