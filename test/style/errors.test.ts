import { OUTCOMES } from '@mayfly/contracts';
import { describe, expect, test } from 'vitest';
import { read, rowsOf } from './markdown.js';
import { sourceFiles } from './source-files.js';

const PAGE = 'docs/errors.md';
const page = read(PAGE);
const TABLES = sourceFiles('apps/*/src/errors.ts', 'libs/*/src/errors.ts');

/** Code, status and (for the gateway) word of every error that a table defines. */
function definitions(): string[][] {
  return TABLES.flatMap((file) =>
    [...read(file).matchAll(/(MAYFLY_ERR_[A-Z0-9_]+): \{(.*?)\}/gs)].map(([, code = '', body = '']) => {
      const status = /\bstatus: (\d+)/.exec(body)?.[1] ?? '';
      const word = /\bproblem: '([a-z-]+)'/.exec(body)?.[1];
      return word === undefined ? [code, status] : [code, word, status];
    }),
  ).sort(byFirst);
}

const byFirst = ([a = '']: string[], [b = '']: string[]) => (a < b ? -1 : 1);

describe(PAGE, () => {
  test('has every code with its status and word, and no other', () => {
    const defined = definitions();
    expect(defined.length).toBeGreaterThan(50);
    const rows = rowsOf(page, /^MAYFLY_ERR_/).sort(byFirst);
    const documented = rows.map((cells) => cells.slice(0, cells.length - 2));
    expect(documented).toEqual(defined);
    for (const cells of rows) expect(cells.at(-1), `what to do about ${cells[0]}`).not.toBe('');
  });

  test('has every outcome with its status and origin, and no other', () => {
    const rows = rowsOf(page, /^[a-z-]+$/)
      .map((cells) => cells.slice(0, 3))
      .filter(([, status = '']) => /^\d+$/.test(status));
    const outcomes = Object.entries(OUTCOMES).map(([word, { status, origin }]) => [
      word,
      `${status}`,
      origin,
    ]);
    expect(rows).toEqual(outcomes);
  });
});

test('a code that the code names is in one of the tables', () => {
  const known = definitions().map(([code]) => code);
  const files = sourceFiles('apps', 'libs').filter((file) => /\/src\/.*\.ts$/.test(file));
  const named = files.flatMap((file) =>
    [...read(file).matchAll(/MAYFLY_ERR_[A-Z0-9_]*[A-Z0-9]\b(?!_)/g)].map(([code]) => `${code} in ${file}`),
  );
  expect(named.length).toBeGreaterThan(100);
  expect(named.filter((entry) => !known.includes(entry.split(' ')[0]))).toEqual([]);
});
