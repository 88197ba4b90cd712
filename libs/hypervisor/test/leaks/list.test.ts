import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

test('docs/reset.md names every leak test, and no other', () => {
  const text = readFileSync(new URL('../../../../docs/reset.md', import.meta.url), 'utf8');
  const named = new Set([...text.matchAll(/`leaks\/([\w-]+\.test\.ts)`/g)].map(([, file]) => file));
  const present = readdirSync(new URL('.', import.meta.url)).filter((file) => file.endsWith('.test.ts'));
  expect([...named].sort()).toEqual(present.filter((file) => file !== 'list.test.ts').sort());
});
