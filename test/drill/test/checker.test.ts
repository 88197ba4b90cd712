import { describe, expect, it } from 'vitest';
import { check, type Promises } from '../src/checker.js';
import { type Entry, History, workOf } from '../src/history.js';

const ENTRY: Entry = { lane: 'async', steps: 3, askedAtMs: 1000, limitMs: 60_000, gateway: 0, ends: [] };
const ACCEPTED = { kind: 'accepted', atMs: 1010 } as const;
const SUCCEEDED = 'succeeded (attempt 1, finished at 1020)';
const RESULT = workOf(3);

function verdict(entry: Partial<Entry>, promises: Partial<Promises> = {}, history = new History()) {
  history.entries.push({ ...ENTRY, ends: [], ...entry });
  const { counts, violations } = check(history, { guestEntries: new Map(), ...promises });
  return { counts, broken: violations.map((line) => line.split(':')[0]) };
}

describe('the checker of the drill', () => {
  it('reckons as the guest does', () => {
    expect([0, 1, 2].map(workOf)).toEqual([1, 1015568748, 1586005467]);
  });

  it('finds nothing in a call that was acknowledged, and ended once as it should', () => {
    const { counts, broken } = verdict({ answer: ACCEPTED, ends: [SUCCEEDED], result: RESULT });
    expect(broken).toEqual([]);
    expect(counts).toEqual({ async: 1, 'async accepted': 1, 'async ended succeeded': 1 });
  });

  it.each<[string, Partial<Entry>]>([
    ['silence', { lane: 'sync' }],
    ['silence', { lane: 'async' }],
    ['an acknowledged invocation is lost', { answer: ACCEPTED, lastSeen: '404 not-found' }],
    [
      'two terminal outcomes',
      { answer: ACCEPTED, ends: [SUCCEEDED, 'host-fault (attempt 2)'], result: RESULT },
    ],
    ['a wrong result on record', { answer: ACCEPTED, ends: [SUCCEEDED], result: 7 }],
    ['a wrong result', { lane: 'sync', answer: { kind: 'result', value: 7, atMs: 1010 } }],
    ['an answer without a name', { lane: 'sync', answer: { kind: 'strange', text: '500 ', atMs: 1010 } }],
    [
      'a connection ended, and its gateway had not died',
      { lane: 'sync', answer: { kind: 'cut', why: 'ECONNRESET', atMs: 1010 } },
    ],
    [
      'answered with a result, and recorded as something else',
      { lane: 'sync', answer: { kind: 'result', value: RESULT, atMs: 1010 }, ends: ['canceled (attempt 1)'] },
    ],
  ])('finds: %s', (name, entry) => {
    expect(verdict(entry).broken).toEqual([name]);
  });

  it('finds a sync call that ran twice, and counts an async one', () => {
    const guestEntries = new Map([['inv_1', 2]]);
    const answer = { kind: 'result', value: RESULT, atMs: 1010 } as const;
    expect(verdict({ lane: 'sync', invocationId: 'inv_1', answer }, { guestEntries }).broken).toEqual([
      'a sync call ran 2 times',
    ]);
    const twice = { invocationId: 'inv_1', answer: ACCEPTED, ends: [SUCCEEDED], result: RESULT };
    expect(verdict(twice, { guestEntries })).toMatchObject({
      broken: [],
      counts: { 'async ran more than once': 1 },
    });
  });

  it('allows a connection to end while its gateway is dead, and no other gateway’s', () => {
    const answer = { kind: 'cut', why: 'ECONNRESET', atMs: 1010 } as const;
    for (const [gateway, broken] of [
      [0, 0],
      [1, 1],
    ] as const) {
      const history = new History();
      history.gatewayFaults.push({ gateway: 0, fromMs: 1005, untilMs: 1015 });
      expect(verdict({ lane: 'sync', gateway, answer }, {}, history).broken).toHaveLength(broken);
    }
  });

  it('allows the loss of what was acknowledged in the last moments before Redis was killed, and no more', () => {
    expect(verdict({ answer: ACCEPTED }, { mayLose: { sinceMs: 1010, untilMs: 1020 } }).broken).toEqual([]);
    expect(verdict({ answer: ACCEPTED }, { mayLose: { sinceMs: 1011, untilMs: 1020 } }).broken).toHaveLength(
      1,
    );
  });
});
