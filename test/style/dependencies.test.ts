import { describe, expect, test } from 'vitest';
import { read } from './markdown.js';
import { sourceFiles } from './source-files.js';

const packages = sourceFiles('package.json', '*/*/package.json').filter(
  (file) => !file.includes('node_modules'),
);

interface PackageJson {
  readonly license?: string;
  readonly private?: boolean;
  readonly dependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
}

/** Names and exact versions of the catalog of pnpm-workspace.yaml. */
function catalog(): Map<string, string> {
  const section = /^catalog:\n((?: {2}.*\n?)+)/m.exec(read('pnpm-workspace.yaml'))?.[1] ?? '';
  const lines = section.split('\n').filter((line) => line !== '' && !line.trim().startsWith('#'));
  return new Map(
    lines.map((line) => {
      const [, name = '', version = ''] = /^ {2}"?([^":]+)"?: (\S+)$/.exec(line) ?? [];
      return [name, version];
    }),
  );
}

function dependenciesOf(file: string): [string, string][] {
  const { dependencies, devDependencies, optionalDependencies, peerDependencies } = JSON.parse(
    read(file),
  ) as PackageJson;
  return Object.entries({
    ...peerDependencies,
    ...optionalDependencies,
    ...devDependencies,
    ...dependencies,
  });
}

test('there are packages to look at', () => {
  expect(packages.length).toBeGreaterThanOrEqual(7);
  expect(catalog().size).toBeGreaterThan(10);
});

describe.each(packages)('%s', (file) => {
  test('takes every dependency from the catalog, or from this workspace', () => {
    const versions = catalog();
    const others = dependenciesOf(file).filter(([name, range]) =>
      name.startsWith('@mayfly/') ? range !== 'workspace:*' : range !== 'catalog:' || !versions.has(name),
    );
    expect(others).toEqual([]);
  });
});

test('the catalog has nothing that no package takes', () => {
  const taken = new Set(packages.flatMap(dependenciesOf).map(([name]) => name));
  expect([...catalog().keys()].filter((name) => !taken.has(name))).toEqual([]);
});

test('the catalog names one version each, and the lockfile has it', () => {
  const lock = read('pnpm-lock.yaml');
  for (const [name, version] of catalog()) {
    expect(version, name).toMatch(/^(npm:@[a-z-]+\/[a-z-]+@)?\^?\d+\.\d+\.\d+$/);
    expect(lock, name).toContain(`specifier: ${version}`);
  }
});
