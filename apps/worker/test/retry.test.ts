import { DEFAULT_SETTINGS, type Outcome } from '@mayfly/contracts';
import { expect, test } from 'vitest';
import { type AttemptEnd, isTooOld, nextOf } from '../src/retry.js';

const RETRY = {
  ...DEFAULT_SETTINGS.retry,
  ...{ attempts: 3, minBackoffMs: 100, maxBackoffMs: 350, maxAgeMs: 10_000 },
  retryOn: ['timeout', 'guest-error'] as const,
};
const end = (fields: Partial<AttemptEnd> = {}): AttemptEnd => ({
  ...{ outcome: 'timeout', isCurable: false, attempt: 1, faults: 0, acceptedAtMs: 0, retry: RETRY },
  ...fields,
});
const most = () => 0.999_999;

test.each([
  ['succeeded', undefined],
  ['canceled', undefined],
  ['exception', 'dead_lettered'],
] as const)('%s is not tried again', (outcome, state) => {
  expect(nextOf(end({ outcome }), 0)).toEqual({ kind: 'end', ...(state && { state }) });
});

test('the wait is drawn from a range that doubles up to its ceiling', () => {
  const ranges = [1, 2, 3, 4].map((attempt) => {
    const retry = { ...RETRY, attempts: 9 };
    return [() => 0, most].map((random) => nextOf(end({ attempt, retry }), 0, random));
  });
  expect(ranges.map(([low, high]) => [low, high])).toEqual(
    [99, 199, 349, 349].map((delayMs) => [
      { kind: 'again', delayMs: 0 },
      { kind: 'again', delayMs },
    ]),
  );
});

test('the last attempt of the settings is the last, and attempts that the host failed do not count', () => {
  expect(nextOf(end({ attempt: 3 }), 0)).toEqual({ kind: 'end', state: 'dead_lettered' });
  expect(nextOf(end({ attempt: 5, faults: 3 }), 0).kind).toBe('again');
});

test('a host fault is tried again by itself while another host may do better, and not for ever', () => {
  const fault = { outcome: 'host-fault' as Outcome, retry: undefined, isCurable: true };
  expect(nextOf(end({ ...fault, faults: 1 }), 0).kind).toBe('again');
  expect(nextOf(end({ ...fault, faults: 1, isCurable: false }), 0).kind).toBe('end');
  expect(nextOf(end({ ...fault, attempt: 5, faults: 5 }), 0)).toEqual({
    kind: 'end',
    state: 'dead_lettered',
  });
});

test('what would be tried again when it is too old expires now', () => {
  expect(nextOf(end(), 9_999, () => 0).kind).toBe('again');
  expect(nextOf(end(), 9_950, most)).toEqual({ kind: 'end', state: 'expired' });
  expect([isTooOld(0, RETRY, 9_999), isTooOld(0, RETRY, 10_000)]).toEqual([false, true]);
});
