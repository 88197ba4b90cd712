import { describe, expect, test } from 'vitest';
import { parseJsonValue, type ReturnType, toJsonValue } from '../src/values.js';

describe('parseJsonValue', () => {
  test.each<[ReturnType, unknown]>([
    ['int', -(2 ** 31)],
    ['int', 2 ** 31 - 1],
    ['uint', 2 ** 32 - 1],
    ['long', Number.MAX_SAFE_INTEGER],
    ['long', '-9223372036854775808'],
    ['ulong', '18446744073709551615'],
    ['double', 0.1],
    ['double', 'NaN'],
    ['float', '-Infinity'],
    ['float', 0.5],
    ['bool', false],
    ['string', 'gr\u00fc\u00dfe \ud83d\ude00'],
    ['string', ''],
    ['bytes', ''],
    ['bytes', 'AAE='],
    ['void', undefined],
  ])('reads %s %j, which is written the same', (type, raw) => {
    const parsed = parseJsonValue(type, raw);
    expect(parsed.ok && toJsonValue(parsed.value)).toEqual({
      type,
      ...(raw !== undefined && { value: raw }),
    });
  });

  test.each<[ReturnType, unknown]>([
    ...['1', 1.5, 2 ** 31, -(2 ** 31) - 1, Number.NaN, null, true, {}].map((raw): [ReturnType, unknown] => [
      'int',
      raw,
    ]),
    ...[-1, 2 ** 32].map((raw): [ReturnType, unknown] => ['uint', raw]),
    ...[2 ** 53, '9223372036854775808', '-9223372036854775809', '1.0', '0x1', ' 1', '', '1'.repeat(21)].map(
      (raw): [ReturnType, unknown] => ['long', raw],
    ),
    ...[-1, '-1', '18446744073709551616'].map((raw): [ReturnType, unknown] => ['ulong', raw]),
    ...['1', 'nan', 'inf', '+Infinity', null].map((raw): [ReturnType, unknown] => ['double', raw]),
    ...[1e39, -3.5e38].map((raw): [ReturnType, unknown] => ['float', raw]),
    ...[0, 1, 'true', null].map((raw): [ReturnType, unknown] => ['bool', raw]),
    ...[1, null, '\ud800', '\udc00\ud800'].map((raw): [ReturnType, unknown] => ['string', raw]),
    ...[1, 'A', 'AA', 'AAE', 'A===', 'AA=A', 'AA-_', ' AAE=', [1]].map((raw): [ReturnType, unknown] => [
      'bytes',
      raw,
    ]),
    ...[0, '', false].map((raw): [ReturnType, unknown] => ['void', raw]),
  ])('refuses %j %j by saying what was expected', (type, raw) => {
    const parsed = parseJsonValue(type, raw);
    expect(parsed).toMatchObject({ ok: false, detail: expect.stringMatching(/^expected /) });
  });
});

test('a 64-bit integer is a number only where that is exact', () => {
  const written = [2n ** 53n - 1n, 2n ** 53n, -(2n ** 53n)].map(
    (value) => toJsonValue({ type: 'long', value }).value,
  );
  expect(written).toEqual([2 ** 53 - 1, '9007199254740992', '-9007199254740992']);
});
