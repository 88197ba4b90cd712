import { existsSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { read, root } from './markdown.js';
import { sourceFiles } from './source-files.js';

const documents = sourceFiles('*.md').filter((file) => existsSync(path.join(root, file)));

test('links between documents lead to files that exist', () => {
  expect(documents.length).toBeGreaterThan(8);
  const broken = documents.flatMap((file) =>
    [...read(file).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !existsSync(path.join(root, path.dirname(file), target)))
      .map((target) => `${target} in ${file}`),
  );
  expect(broken).toEqual([]);
});

test('paths that documents name are there, from the root or beside them; what is built may be missing', () => {
  const places = /`((?:apps|docs|guests|infra|libs|scripts|test)\/[\w./-]+)`/g;
  const named = documents.flatMap((file) =>
    [...read(file).matchAll(places)].map(([, place = '']) => ({ file, place })),
  );
  expect(named.length).toBeGreaterThan(50);
  const missing = named.filter(
    ({ file, place }) =>
      !/(^|\/)build(\/|$)/.test(place) &&
      ![root, path.join(root, path.dirname(file))].some((folder) => existsSync(path.join(folder, place))),
  );
  expect(missing).toEqual([]);
});

test('commands that documents name are scripts of package.json', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const named = documents.flatMap((file) =>
    [...read(file).matchAll(/\bnpm (?:run (?:-s )?([a-z-]+)|(start|test)\b)/g)].map(
      ([, run, short]) => run ?? short ?? '',
    ),
  );
  expect(named.length).toBeGreaterThan(3);
  expect([...new Set(named)].filter((name) => !(name in scripts))).toEqual([]);
});

test('scripts of package.json run files that exist', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const files = Object.values(scripts).flatMap((line) => line.match(/\S+\.mjs/g) ?? []);
  expect(files.length).toBeGreaterThan(3);
  expect(files.filter((file) => !existsSync(path.join(root, file)))).toEqual([]);
});

test('each decision has a number of its own, which its title has, too', () => {
  const decisions = documents.filter((file) => file.startsWith('docs/decisions/'));
  expect(decisions.length).toBeGreaterThan(5);
  const numbers = decisions.map((file) => path.basename(file).slice(0, 4));
  expect(numbers).toEqual([...new Set(numbers)]);
  expect(decisions.map((file) => /^# (\d{4}): /.exec(read(file))?.[1])).toEqual(numbers);
});
