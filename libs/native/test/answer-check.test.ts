import { expect, test } from 'vitest';
import { AnswerCheck, outboxProblem } from '../src/answer-check.js';

const RECORD_BYTES = 512;
/** Of an answer, in nanoseconds: any moment serves. */
const NOW_NS = 1e15;

/** A record whose answer is a halt of no time, just now, changed. */
function problem(change: (words: Uint32Array, doubles: Float64Array) => void): string | undefined {
  const bytes = new Uint8Array(RECORD_BYTES);
  const doubles = new Float64Array(bytes.buffer, 16);
  doubles.fill(NOW_NS, 8, 14);
  change(new Uint32Array(bytes.buffer, 16), doubles);
  return new AnswerCheck(bytes).problem(0, { memoryBytes: 0x4000, elapsedMs: 1, takenNs: NOW_NS });
}

test('an answer that can be true is taken', () => {
  expect(problem(() => undefined)).toBeUndefined();
  const never = (words: Uint32Array, doubles: Float64Array) => {
    words[0] = 5;
    doubles.fill(0, 8, 14);
  };
  expect(problem(never)).toBeUndefined();
});

const lies: [string, (words: Uint32Array, doubles: Float64Array) => void][] = [
  ['an exit that does not exist', (words) => words.fill(10, 0, 1)],
  ['unknown flags', (words) => words.fill(8, 1, 2)],
  ['a port above 65535', (words) => words.set([1, 0, 0x10000, 1])],
  ['an OUT of no bytes', (words) => words.set([1, 0, 0x60, 0])],
  ['an OUT of 8 bytes', (words) => words.set([1, 0, 0x60, 8])],
  ['vector 32', (words) => words.set([3, 0, 32])],
  ['an instruction of 16 bytes', (words) => words.set([9, 0, 0, 16])],
  ['more pages restored than there are', (words) => words.fill(5, 6, 7)],
  ['4097 outbox entries', (words) => words.set([4097, 4097 * 8], 7)],
  ['an outbox above its cap', (words) => words.set([1, 256 * 1024 + 1], 7)],
  ['more entries than bytes', (words) => words.set([2, 8], 7)],
  ['a run that took NaN', (_words, doubles) => doubles.fill(Number.NaN, 12, 13)],
  ['a run that took longer than it did', (_words, doubles) => doubles.fill(NOW_NS + 1e9, 12, 13)],
  ['a run that was posted long before it was', (_words, doubles) => doubles.fill(NOW_NS - 1e9, 8, 9)],
  ['a run that was over long before', (_words, doubles) => doubles.fill(NOW_NS - 1e9, 8, 14)],
  ['a run that ends when its answer is here', (_words, doubles) => doubles.fill(NOW_NS + 1, 12, 13)],
  ['a run that ended before it began', (_words, doubles) => doubles.fill(5, 11, 12)],
  ['a halt that never began', (_words, doubles) => doubles.fill(0, 8, 14)],
  ['a wait that lasted for ever', (_words, doubles) => doubles.fill(Number.POSITIVE_INFINITY, 9, 11)],
];
test.each(lies)('%s is a lie', (_what, change) => {
  expect(problem(change)).toMatch(/./);
});

const entry = (port: number, length: number, bytes = Math.ceil(length / 8) * 8) => {
  const all = new Uint8Array(8 + bytes);
  new Uint32Array(all.buffer).set([port, length]);
  return all;
};

test('an outbox is entries of known ports, to the byte', () => {
  expect(outboxProblem(new Uint8Array(0), 0)).toBeUndefined();
  expect(outboxProblem(entry(99, 5), 1)).toBeUndefined();
  for (const [bytes, entries] of [
    [entry(99, 5), 0],
    [entry(99, 5), 2],
    [entry(101, 5), 1],
    [entry(99, 9, 8), 1],
    [entry(99, 2 ** 32 - 1, 8), 1],
    [new Uint8Array(4), 1],
  ] as const)
    expect(outboxProblem(bytes, entries)).toMatch(/./);
});
