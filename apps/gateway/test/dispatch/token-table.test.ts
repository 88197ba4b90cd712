import { beforeEach, describe, expect, it } from 'vitest';
import { TokenTable } from '../../src/dispatch/token-table.js';
import { newReplyToken } from '../../src/ids.js';

interface Entry {
  readonly token: string;
}

let table: TokenTable<Entry>;
beforeEach(() => {
  table = new TokenTable();
});

describe('TokenTable', () => {
  it('gives back what was added, until it is removed', () => {
    const entries = Array.from({ length: 5_000 }, () => ({ token: newReplyToken() }));
    for (const entry of entries) table.add(entry);
    expect(table.size).toBe(5_000);
    for (const entry of entries) expect(table.find(entry.token)).toBe(entry);
    for (const [index, entry] of entries.entries())
      if (index % 2 === 0) expect(table.remove(entry.token)).toBe(entry);
    expect(table.size).toBe(2_500);
    for (const [index, entry] of entries.entries())
      expect(table.find(entry.token)).toBe(index % 2 === 0 ? undefined : entry);
    expect(new Set(table.values())).toEqual(new Set(entries.filter((_, index) => index % 2 === 1)));
  });

  it('tells tokens of one bucket apart', () => {
    const [one, two] = [{ token: 'abc0'.padEnd(32, '0') }, { token: 'abc1'.padEnd(32, '0') }];
    table.add(one);
    table.add(two);
    expect(table.remove(one.token)).toBe(one);
    expect(table.find(two.token)).toBe(two);
    expect(table.remove(one.token)).toBeUndefined();
    expect(table.size).toBe(1);
  });

  it('finds nothing for text that is no token', () => {
    table.add({ token: newReplyToken() });
    for (const text of ['', 'a', 'zzz', '\u{1f600}', 'ABC', '__proto__', '-1']) {
      expect(table.find(text)).toBeUndefined();
      expect(table.remove(text)).toBeUndefined();
    }
    expect(table.size).toBe(1);
  });
});
