import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const root = new URL('../../../../', import.meta.url);
const text = readFileSync(new URL('docs/reset.md', root), 'utf8');

test('docs/reset.md names every leak test, and no other', () => {
  const named = new Set([...text.matchAll(/`leaks\/([\w-]+\.test\.ts)`/g)].map(([, file]) => file));
  const present = readdirSync(new URL('.', import.meta.url)).filter((file) => file.endsWith('.test.ts'));
  expect([...named].sort()).toEqual(present.filter((file) => file !== 'list.test.ts').sort());
});

test('each line of docs/reset.md names a test that exists, or says that nobody can change the state', () => {
  const lines = text.split('\n').filter((line) => /^\| (?!state |-)/.test(line));
  expect(lines.length).toBeGreaterThan(25);
  const untested = lines.filter((line) => {
    const place = line.split('|').at(-2)?.trim() ?? '';
    if (place === 'all of them') return false;
    const [, file] = /^`([^`]+)`/.exec(place) ?? [];
    if (file === undefined) return !/nobody/.test(line);
    return !existsSync(new URL(file.replace(/^leaks\//, 'libs/hypervisor/test/leaks/'), root));
  });
  expect(untested).toEqual([]);
});
