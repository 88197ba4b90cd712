import { describe, expect, test } from 'vitest';
import { FAULT_RULES, type FaultReason, referencePoisons, referenceText } from '../src/index.js';

const reasons = Object.keys(FAULT_RULES) as FaultReason[];
/** The rule as its type says it. */
const ruleOf = (reason: FaultReason): { poisons: boolean; reference: string; stricter?: string } =>
  FAULT_RULES[reason];

describe('the rules of faults', () => {
  test('are never laxer than the reference, and say why where they are stricter', () => {
    for (const reason of reasons) {
      const { poisons, reference, stricter } = ruleOf(reason);
      if (referencePoisons(reason)) expect(poisons, reason).toBe(true);
      const differs = poisons && !referencePoisons(reason) && reference !== 'none';
      expect(stricter !== undefined, reason).toBe(differs);
    }
  });

  test.each<[FaultReason, object, string]>([
    ['stack-guard', {}, 'Stack overflow detected'],
    ['stack-cookie', {}, 'Stack overflow detected'],
    ['guest-error-stack-overflow', { message: 'x', guestCode: 9 }, 'Stack overflow detected'],
    ['kill', {}, 'Execution was cancelled by the host.'],
    ['abort', { message: 'gone', guestCode: 15 }, 'Guest aborted: 15 gone'],
    ['abort', { message: '', guestCode: 0 }, 'Guest aborted: 0 '],
    [
      'guest-error',
      { message: 'no luck', guestCode: 5, guestCodeName: 'GuestFunctionIncorrecNoOfParameters' },
      'Guest error occurred GuestFunctionIncorrecNoOfParameters: no luck',
    ],
    [
      'bad-port',
      { message: 'Invalid OutBAction value: 100' },
      'Anyhow Error was returned: Invalid OutBAction value: 100',
    ],
    ['mmio', { message: 'MMIO access address 0x100000000' }, 'MMIO access address 0x100000000'],
  ])('%s displays as the reference does (guest-abi 15)', (reason, detail, text) => {
    expect(referenceText({ reason, detail: { message: 'ours', ...detail } })).toBe(text);
  });
});
