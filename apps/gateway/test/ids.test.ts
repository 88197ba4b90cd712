import { isInvocationId } from '@mayfly/contracts';
import { describe, expect, it } from 'vitest';
import { newInvocationId, newReplyToken } from '../src/ids.js';

describe('ids', () => {
  it('are valid, distinct and sort by time', () => {
    const ids = Array.from({ length: 5_000 }, (_, n) => newInvocationId(1_700_000_000_000 + n));
    expect(ids.every(isInvocationId)).toBe(true);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.toSorted()).toEqual(ids);
  });

  it('do not repeat as tokens', () => {
    const tokens = Array.from({ length: 5_000 }, newReplyToken);
    expect(new Set(tokens).size).toBe(tokens.length);
    expect(tokens.every((token) => /^[0-9a-f]{32}$/.test(token))).toBe(true);
  });
});
