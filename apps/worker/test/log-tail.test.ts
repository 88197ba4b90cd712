import { LIMITS } from '@mayfly/contracts';
import { expect, test } from 'vitest';
import { logTail, startOf } from '../src/log-tail.js';

const isWellFormed = (text: string) => Buffer.from(text, 'utf8').toString('utf8') === text;

test('silence is an empty tail', () => {
  expect(logTail({ printed: '', logs: [] })).toBe('');
});

test('printed text comes first, then log records, a line each', () => {
  const logs = [
    { level: 'info', message: 'one' },
    { level: 'error', message: 'two' },
  ] as const;
  expect(logTail({ printed: 'p', logs })).toBe('p\n[info] one\n[error] two\n');
  expect(logTail({ printed: 'p\n', logs: logs.slice(0, 1) })).toBe('p\n[info] one\n');
  expect(logTail({ printed: 'p', logs: [] })).toBe('p');
});

test.each([
  ['ASCII', 'a'],
  ['two bytes', 'é'],
  ['three bytes', '€'],
  ['four bytes', '🦋'],
  ['mixed', 'a€🦋é'],
])('the end is kept within the limit, in whole characters: %s', (_name, unit) => {
  for (const prefix of ['', 'x', 'xy', 'xyz']) {
    const tail = logTail({ printed: prefix + unit.repeat(LIMITS.logTailBytes), logs: [] });
    const bytes = Buffer.byteLength(tail);
    expect(bytes).toBeLessThanOrEqual(LIMITS.logTailBytes);
    expect(bytes).toBeGreaterThan(LIMITS.logTailBytes - 4);
    expect(isWellFormed(tail)).toBe(true);
    expect((prefix + unit.repeat(LIMITS.logTailBytes)).endsWith(tail)).toBe(true);
  }
});

test.each(['a', 'é', '€', '🦋'])('the start is kept within the limit, in whole characters: %s', (unit) => {
  for (let limit = 1; limit < 12; limit += 1) {
    const start = startOf(unit.repeat(100), limit);
    expect(Buffer.byteLength(start)).toBe(limit - (limit % Buffer.byteLength(unit)));
    expect(isWellFormed(start)).toBe(true);
  }
  expect(startOf(unit, 100)).toBe(unit);
});
