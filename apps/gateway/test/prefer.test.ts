import { describe, expect, it } from 'vitest';
import { readPreferences } from '../src/invocations/prefer.js';

describe('Prefer', () => {
  it.each([
    [undefined, { respondAsync: false }],
    ['respond-async', { respondAsync: true }],
    ['Respond-Async; x=1, wait=10', { respondAsync: true, waitMs: 10_000 }],
    ['wait = "7"', { respondAsync: false, waitMs: 7_000 }],
    ['wait=3, wait=9', { respondAsync: false, waitMs: 3_000 }],
    ['wait=0', { respondAsync: false, waitMs: 0 }],
    ['wait=999999999', { respondAsync: false, waitMs: 60_000 }],
    ['wait=-1, wait', { respondAsync: false }],
    ['wait=1.5', { respondAsync: false }],
    ['foo="a, respond-async", ,', { respondAsync: false }],
    ['return=minimal, handling=lenient', { respondAsync: false }],
  ])('reads %j', (prefer, preferences) => {
    expect(readPreferences({ ...(prefer !== undefined && { prefer }) })).toEqual(preferences);
  });

  it('takes what it knows when it is to be strict', () => {
    const prefer = 'handling=strict, respond-async, wait=5';
    expect(readPreferences({ prefer })).toEqual({ respondAsync: true, waitMs: 5_000 });
  });

  it.each(['return=minimal', 'wait=soon', 'wait', '"', 'a b'])(
    'refuses %j when it is to be strict',
    (preference) => {
      const prefer = `${preference}, handling=strict`;
      expect(() => readPreferences({ prefer })).toThrowError(/cannot be kept to/);
    },
  );
});
