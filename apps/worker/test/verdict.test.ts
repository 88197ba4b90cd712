import { DEATH_WINDOW_MS, type HostDeath } from '@mayfly/contracts';
import { describe, expect, it } from 'vitest';
import { verdicts } from '../src/versions/verdict.js';

const NOW = 100 * DEATH_WINDOW_MS;
const deaths = (...sets: string[][]): HostDeath[] =>
  sets.map((versions, i) => ({ atMs: NOW - 1000 + i, workerId: `w${i}`, versions }));
const judged = (known: readonly HostDeath[], limit = 2, lifted: Record<string, number> = {}) =>
  [
    ...verdicts(known, { deaths: limit, nowMs: NOW, liftedAtMs: new Map(Object.entries(lifted)) }).keys(),
  ].sort();

describe('verdicts', () => {
  it.each<[string, string[][], string[]]>([
    ['one death', [['k']], []],
    ['two deaths with nothing else in flight', [['k'], ['k']], ['k']],
    ['another that ran beside it once', [['k', 'a'], ['k']], ['k']],
    [
      'others, another each time',
      [
        ['k', 'a', 'b'],
        ['k', 'c'],
      ],
      ['k'],
    ],
    [
      'two that were there both times',
      [
        ['k', 'a'],
        ['k', 'a'],
      ],
      [],
    ],
    ['two that were there both times, then one alone', [['k', 'a'], ['k', 'a'], ['k']], ['k']],
    ['what always runs together, for long enough', Array(5).fill(['k', 'a']), ['a', 'k']],
    ['what always runs together, once less', Array(4).fill(['k', 'a']), []],
    ['deaths of different versions', [['a'], ['b'], ['c']], []],
  ])('say of %s', (_what, sets, expected) => {
    expect(judged(deaths(...sets))).toEqual(expected);
  });

  it('forget deaths of long ago', () => {
    const [first, second] = deaths(['k'], ['k']) as [HostDeath, HostDeath];
    expect(judged([{ ...first, atMs: NOW - DEATH_WINDOW_MS }, second])).toEqual([]);
  });

  it('forgive what was before an operator lifted it', () => {
    const known = deaths(['k'], ['k'], ['k']);
    expect(judged(known, 2, { k: known[1]?.atMs ?? 0 })).toEqual([]);
    expect(judged(known, 2, { k: known[0]?.atMs ?? 0 })).toEqual(['k']);
  });

  it('want as many deaths as they are told', () => {
    expect(judged(deaths(['k'], ['k']), 3)).toEqual([]);
    expect(judged(deaths(['k'], ['k', 'a'], ['k']), 3)).toEqual(['k']);
  });
});
