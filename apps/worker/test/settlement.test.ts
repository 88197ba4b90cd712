import { createHash } from 'node:crypto';
import { LIMITS, type TypedValue } from '@mayfly/contracts';
import { expect, test } from 'vitest';
import { type InvocationFacts, settleReport, settleUnrun } from '../src/settlement.js';
import { report } from './helpers/scripted-images.js';

function facts(overrides: Partial<InvocationFacts> = {}): InvocationFacts {
  return {
    invocationId: `inv_${'0'.repeat(32)}`,
    class: 'sync',
    tenant: 'acme',
    function: 'greet',
    version: 3,
    entrypoint: 'Greet',
    returns: 'string',
    attempt: 1,
    workerId: 'w1',
    acceptedAtMs: Date.now() - 20,
    memoryBytes: 2 * 1024 * 1024,
    inputBytes: 5,
    takenAt: performance.now() - 10,
    ...overrides,
  };
}

const settleValue = (value: TypedValue) =>
  settleReport(facts(), report({ value }), { acquiredAt: performance.now(), source: 'warm' });

test('the phases add up to the total', () => {
  const { record } = settleReport(facts(), report(), { acquiredAt: performance.now() - 5, source: 'warm' });
  const { totalUs, ...phases } = record.timings;
  expect(Object.values(phases).reduce((sum, us) => sum + us, 0)).toBe(totalUs);
  expect(Math.min(...Object.values(phases))).toBeGreaterThanOrEqual(0);
  expect(record.timings).toMatchObject({ restoreUs: 2, runUs: 3 });
});

test('the run has the time of host functions, the receipt the time on the vCPU', () => {
  const phases = { queuedUs: 1, restoreUs: 2, runUs: 3, hostUs: 400, resultUs: 4 };
  const { record } = settleReport(facts(), report({ phases }), {
    acquiredAt: performance.now() - 5,
    source: 'warm',
  });
  expect(record.timings.runUs).toBe(403);
  expect(record.usage.cpuUs).toBe(3);
});

test('the receipt has the memory for as long as the run, and the bytes in and out', () => {
  const phases = { queuedUs: 1, restoreUs: 2, runUs: 3, hostUs: 400, resultUs: 4 };
  const value: TypedValue = { type: 'string', value: 'größe' };
  const { record } = settleReport(facts(), report({ phases, value }), {
    acquiredAt: performance.now(),
    source: 'warm',
  });
  expect(record.usage).toMatchObject({ memoryMibUs: 2 * 403, inputBytes: 5, outputBytes: 7 });
});

test('the record says where its spans are, and whether they are kept', () => {
  const trace = { traceId: 'f'.repeat(32), isKept: ({ failed }: { failed: boolean }) => failed };
  const run = { acquiredAt: performance.now(), source: 'warm' } as const;
  const kept = settleReport(facts({ trace }), report({ outcome: 'timeout' }), run);
  expect(kept.record.trace).toEqual({ id: trace.traceId, sampled: true });
  expect(settleReport(facts({ trace }), report(), run).record.trace?.sampled).toBe(false);
  expect(settleReport(facts(), report(), run).record).not.toHaveProperty('trace');
});

test('a clock that is ahead of the gateway’s shows no negative time', () => {
  const { record } = settleReport(facts({ acceptedAtMs: Date.now() + 60_000 }), report(), {
    acquiredAt: performance.now(),
    source: 'warm',
  });
  expect(record.timings.queueUs).toBe(0);
});

test.each([
  ['int', { type: 'int', value: -3 }, { type: 'int', value: -3 }],
  [
    'a long that JSON cannot hold',
    { type: 'long', value: 2n ** 60n },
    { type: 'long', value: String(2n ** 60n) },
  ],
  ['NaN', { type: 'double', value: Number.NaN }, { type: 'double', value: 'NaN' }],
  ['bool', { type: 'bool', value: false }, { type: 'bool', value: false }],
  ['void', { type: 'void' }, { type: 'void' }],
] as const)('%s is inside the record, without a body', (_name, value, json) => {
  const { record, body } = settleValue(value);
  expect(record.result).toEqual({ kind: 'inline', value: json });
  expect(body.byteLength).toBe(0);
});

test('a short string is in the record, without a body', () => {
  const { record, body } = settleValue({ type: 'string', value: 'grüße' });
  expect(record.result).toEqual({ kind: 'inline', value: { type: 'string', value: 'grüße' } });
  expect(body.byteLength).toBe(0);
});

test('what is larger than inline is a reference by hash, whole in the body', () => {
  const bytes = Buffer.alloc(LIMITS.inlineBytes + 1, 7);
  const { record, body } = settleValue({ type: 'bytes', value: bytes });
  expect(record.result).toEqual({
    kind: 'blob',
    type: 'bytes',
    sha256: createHash('sha256').update(bytes).digest('hex'),
    lengthBytes: bytes.byteLength,
  });
  expect(body).toEqual(bytes);
});

test('a result of the limit passes, one byte more breaks the protocol', () => {
  expect(settleValue({ type: 'bytes', value: Buffer.alloc(LIMITS.resultBytes) }).record.outcome).toBe(
    'succeeded',
  );
  const { record, body } = settleValue({ type: 'bytes', value: Buffer.alloc(LIMITS.resultBytes + 1) });
  expect(record).toMatchObject({
    outcome: 'protocol',
    detail: { message: expect.stringContaining('resultBytes') },
  });
  expect(record.result).toBeUndefined();
  expect(body.byteLength).toBe(0);
});

test('text that a guest chose is cut', () => {
  const detail = { message: '€'.repeat(100_000), guestCode: 7 };
  const { record } = settleReport(facts(), report({ outcome: 'guest-error', detail }), {
    acquiredAt: performance.now(),
    source: 'warm',
  });
  expect(Buffer.byteLength(record.detail?.message ?? '')).toBeLessThanOrEqual(4096);
  expect(record.detail?.guestCode).toBe(7);
});

test('an invocation that never ran has its outcome and no run', () => {
  const { record } = settleUnrun(facts({ replyToken: 'ab' }), {
    outcome: 'aborted',
    detail: { message: 'init' },
  });
  expect(record).toMatchObject({
    outcome: 'aborted',
    timings: { restoreUs: 0, runUs: 0 },
    usage: { exits: 0 },
  });
  expect(record).not.toHaveProperty('replyToken');
  expect(record).not.toHaveProperty('takenAt');
});
