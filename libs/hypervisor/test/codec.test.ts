import { isMayflyError, RETURN_TYPES, type ReturnType, type TypedValue } from '@mayfly/contracts';
import { Builder, ByteBuffer } from 'flatbuffers';
import { describe, expect, test } from 'vitest';
import { decodeFunctionCall, encodeFunctionCall } from '../src/codec/function-call.js';
import { decodeFunctionCallAnswer, encodeFunctionCallAnswer } from '../src/codec/function-call-result.js';
import { decodeGuestLog } from '../src/codec/guest-log.js';
import { encodeHostFunctionDetails } from '../src/codec/host-function-details.js';
import { FunctionCall } from '../src/generated/function-call.js';
import { FunctionCallResult } from '../src/generated/function-call-result.js';
import { GuestLogData } from '../src/generated/guest-log-data.js';
import { hlint } from '../src/generated/hlint.js';
import { HostFunctionDetails } from '../src/generated/host-function-details.js';
import { ReturnValueBox } from '../src/generated/return-value-box.js';

const VALUES: TypedValue[] = [
  ...[0, 1, -1, 2 ** 31 - 1, -(2 ** 31)].map((value) => ({ type: 'int', value }) as const),
  ...[0, 1, 2 ** 31, 2 ** 32 - 1].map((value) => ({ type: 'uint', value }) as const),
  ...[0n, -1n, 2n ** 63n - 1n, -(2n ** 63n)].map((value) => ({ type: 'long', value }) as const),
  ...[0n, 1n, 2n ** 63n, 2n ** 64n - 1n].map((value) => ({ type: 'ulong', value }) as const),
  ...[0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2 ** -149].flatMap(
    (value) => [{ type: 'float', value } as const, { type: 'double', value } as const],
  ),
  { type: 'double', value: 0.1 },
  { type: 'double', value: Number.MIN_VALUE },
  { type: 'bool', value: true },
  { type: 'bool', value: false },
  ...['', 'a', 'héllo wörld', '日本語', '🦋', 'nul\0inside', 'x'.repeat(10_000)].map(
    (value) => ({ type: 'string', value }) as const,
  ),
  ...[0, 1, 3, 4, 255, 100_000].map(
    (length) => ({ type: 'bytes', value: new Uint8Array(length).fill(0xa5) }) as const,
  ),
];
const label = (value: TypedValue) =>
  `${value.type} ${'value' in value ? (Object.is(value.value, -0) ? '-0' : String(value.value).slice(0, 30)) : ''}`;
const named = VALUES.map((value) => [label(value), value] as const);

describe('a function call', () => {
  test.each(named)('carries %s as parameter', (_name, value) => {
    const call = { name: 'Echo', args: [value], returns: 'int', callee: 'guest' } as const;
    expect(decodeFunctionCall(encodeFunctionCall(call).slice())).toEqual(call);
  });

  test('carries eleven parameters of all types, and every return type', () => {
    for (const returns of RETURN_TYPES) {
      const call = { name: 'Ünïcode', args: VALUES.slice(0, 11), returns, callee: 'host' } as const;
      expect(decodeFunctionCall(encodeFunctionCall(call).slice())).toEqual(call);
    }
  });

  test('leaves an empty parameter vector and the return type Int out', () => {
    const bytes = encodeFunctionCall({ name: 'F', args: [], returns: 'int', callee: 'guest' }).slice();
    const call = FunctionCall.getSizePrefixedRootAsFunctionCall(new ByteBuffer(bytes));
    expect(call.functionName()).toBe('F');
    expect(call.functionCallType()).toBe(1);
    const table = call.bb_pos;
    const vtable = table - new DataView(bytes.buffer).getInt32(table, true);
    const slots = new DataView(bytes.buffer).getUint16(vtable, true);
    expect(new DataView(bytes.buffer).getUint16(vtable + 6, true)).toBe(0);
    expect(slots).toBeLessThanOrEqual(10);
  });

  test('is a multiple of its alignment long, size prefix included', () => {
    for (const args of [[], [VALUES[0]], [{ type: 'long', value: 5n }]] as TypedValue[][]) {
      const bytes = encodeFunctionCall({ name: 'abc', args, returns: 'void', callee: 'guest' });
      const alignment = args.some(({ type }) => type === 'long') ? 8 : 4;
      expect(bytes.byteLength % alignment).toBe(0);
      expect(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)).toBe(bytes.byteLength - 4);
    }
  });
});

describe('an answer', () => {
  const returned = [...named, ['void', { type: 'void' }]] as [string, TypedValue][];
  test.each(returned)('carries %s', (_name, value) => {
    const answer = { ok: true, value } as const;
    expect(decodeFunctionCallAnswer(encodeFunctionCallAnswer(answer).slice())).toEqual(answer);
  });

  test.each([0n, 17n, 9n, 2n ** 64n - 1n])('carries error %i with its text', (code) => {
    const answer = { ok: false, code, message: 'héllo' } as const;
    expect(decodeFunctionCallAnswer(encodeFunctionCallAnswer(answer).slice())).toEqual(answer);
  });

  test('is what the generated reader reads', () => {
    const bytes = encodeFunctionCallAnswer({ ok: true, value: { type: 'int', value: 42 } }).slice();
    const result = FunctionCallResult.getSizePrefixedRootAsFunctionCallResult(new ByteBuffer(bytes));
    const box = result.result(new ReturnValueBox());
    expect(box.value(new hlint()).value()).toBe(42);
  });

  test("holds bytes that are none of Node's Buffers", () => {
    const bytes = Buffer.from(
      encodeFunctionCallAnswer({ ok: true, value: { type: 'bytes', value: Uint8Array.of(1) } }),
    );
    const answer = decodeFunctionCallAnswer(bytes);
    expect(answer.ok && answer.value.type === 'bytes' && answer.value.value.constructor).toBe(Uint8Array);
  });
});

function logBytes(omit?: string): Uint8Array {
  const builder = new Builder(256);
  const text = (name: string) => (name === omit ? 0 : builder.createString(name));
  const record = GuestLogData.createGuestLogData(
    builder,
    text('message'),
    text('source'),
    3,
    text('caller'),
    text('source_file'),
    77,
  );
  builder.finishSizePrefixed(record);
  return builder.asUint8Array().slice();
}

describe('a log record', () => {
  test('is decoded with its level and place', () => {
    expect(decodeGuestLog(logBytes())).toEqual({
      level: 'warn',
      message: 'message',
      source: 'source',
      caller: 'caller',
      sourceFile: 'source_file',
      line: 77,
    });
  });

  test.each(['message', 'source', 'caller', 'source_file'])('is refused without %s', (name) => {
    expect(() => decodeGuestLog(logBytes(name))).toThrow(
      expect.objectContaining({ code: 'MAYFLY_ERR_GUEST_PROTOCOL' }),
    );
  });
});

test('the host function list carries names, parameter vectors and return types', () => {
  const bytes = encodeHostFunctionDetails(
    new Map([
      ['HostPrint', { params: ['string'], returns: 'int' }],
      ['Tick', { params: [], returns: 'void' }],
      ['Digest', { params: ['bytes', 'double'], returns: 'bytes' }],
    ]),
  );
  const details = HostFunctionDetails.getSizePrefixedRootAsHostFunctionDetails(new ByteBuffer(bytes));
  const functions = [0, 1, 2].map((index) => details.functions(index));
  expect(
    functions.map((entry) => [
      entry?.functionName(),
      [...(entry?.parametersArray() ?? [])],
      entry?.returnType(),
    ]),
  ).toEqual([
    ['HostPrint', [6], 0],
    ['Tick', [], 8],
    ['Digest', [8, 5], 9],
  ]);
});

describe('a hostile buffer', () => {
  const decoders: [string, (bytes: Uint8Array) => unknown, Uint8Array][] = [
    [
      'FunctionCall',
      decodeFunctionCall,
      encodeFunctionCall({
        name: 'Echo',
        args: VALUES.slice(0, 40).filter((value) => label(value).length < 40),
        returns: 'string',
        callee: 'host',
      }).slice(),
    ],
    [
      'FunctionCallResult',
      decodeFunctionCallAnswer,
      encodeFunctionCallAnswer({ ok: true, value: { type: 'string', value: 'hello' } }).slice(),
    ],
    [
      'GuestError',
      decodeFunctionCallAnswer,
      encodeFunctionCallAnswer({ ok: false, code: 15n, message: 'no' }).slice(),
    ],
    ['GuestLogData', decodeGuestLog, logBytes()],
  ];

  test.each(decoders)('truncated anywhere is a named error (%s)', (_name, decode, bytes) => {
    for (let length = 0; length < bytes.byteLength; length++)
      expect(() => decode(bytes.slice(0, length))).toThrow(
        expect.objectContaining({ code: 'MAYFLY_ERR_GUEST_PROTOCOL' }),
      );
  });

  test.each(decoders)('mutated at random is a value or a named error (%s)', (_name, decode, bytes) => {
    const until = Date.now() + 500;
    const extremes = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 0xfc];
    for (let round = 0; round < 50_000 && Date.now() < until; round++) {
      const mutant = bytes.slice();
      for (let change = 0; change < 1 + (round % 5); change++)
        mutant[Math.floor(Math.random() * mutant.byteLength)] =
          round % 2 === 0
            ? Math.floor(Math.random() * 256)
            : (extremes[Math.floor(Math.random() * extremes.length)] as number);
      try {
        decode(mutant);
      } catch (error) {
        if (!isMayflyError(error, 'MAYFLY_ERR_GUEST_PROTOCOL'))
          throw new Error(`mutant ${Buffer.from(mutant).toString('hex')}`, { cause: error });
      }
    }
  });

  test('with a parameter vector of four billion is refused without growing', () => {
    const bytes = encodeFunctionCall({
      name: 'F',
      args: [{ type: 'int', value: 7 }],
      returns: 'int',
      callee: 'host',
    }).slice();
    const view = new DataView(bytes.buffer);
    for (let at = 0; at + 4 <= bytes.byteLength; at += 4)
      if (view.getUint32(at, true) === 1) {
        const mutant = bytes.slice();
        new DataView(mutant.buffer).setUint32(at, 0xffff_ffff, true);
        expect(() => decodeFunctionCall(mutant)).toThrow(/malformed FunctionCall/);
      }
  });

  test.each([
    ['a lone surrogate in UTF-8', [0xed, 0xa0, 0x80]],
    ['an overlong form', [0xc0, 0x80, 0x61]],
    ['a truncated sequence', [0x61, 0x62, 0xc3]],
  ])('with %s is refused', (_name, utf8) => {
    const bytes = encodeFunctionCallAnswer({ ok: true, value: { type: 'string', value: 'QQQ' } }).slice();
    bytes.set(utf8, Buffer.from(bytes).indexOf('QQQ'));
    expect(() => decodeFunctionCallAnswer(bytes)).toThrow(/not UTF-8/);
  });

  test('with a string that no NUL ends is refused', () => {
    const bytes = encodeFunctionCallAnswer({ ok: true, value: { type: 'string', value: 'QQQ' } }).slice();
    bytes[Buffer.from(bytes).indexOf('QQQ') + 3] = 0x51;
    expect(() => decodeFunctionCallAnswer(bytes)).toThrow(/does not end with NUL/);
  });
});

test.each(['int', 'string', 'bytes'] satisfies ReturnType[])('an encoded call expects %s', (returns) => {
  const bytes = encodeFunctionCall({ name: 'F', args: [], returns, callee: 'guest' }).slice();
  expect(decodeFunctionCall(bytes).returns).toBe(returns);
});
