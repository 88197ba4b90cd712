import { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { beforeEach, expect, test } from 'vitest';
import { corkForCompany, corkForTurn, isCorked, writeNow } from '../../src/reply/write-turn.js';

let stream: Writable;
/** What each write of the stream carried. */
let writes: string[];
let nextWrite: Promise<void>;
let wrote: () => void;

const expectWrite = () => {
  nextWrite = new Promise((resolve) => {
    wrote = resolve;
  });
};

beforeEach(() => {
  writes = [];
  expectWrite();
  const keep = (chunks: readonly Buffer[], done: () => void) => {
    writes.push(Buffer.concat(chunks).toString());
    wrote();
    expectWrite();
    done();
  };
  stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => keep([chunk], done),
    writev: (chunks, done) =>
      keep(
        chunks.map(({ chunk }) => chunk),
        done,
      ),
  });
});

test('what is written in a turn leaves together at its end', async () => {
  corkForTurn(stream);
  stream.write('a');
  corkForTurn(stream);
  stream.write('b');
  expect(writes).toEqual([]);
  await nextWrite;
  expect(writes).toEqual(['ab']);
  expect(isCorked(stream)).toBe(false);
});

test('what waits for company leaves with the turn that asks for it', async () => {
  corkForCompany(stream);
  stream.write('a');
  corkForTurn(stream);
  stream.write('b');
  corkForCompany(stream);
  stream.write('c');
  await nextWrite;
  expect(writes).toEqual(['abc']);
});

test('what waits for company outlives turns, and leaves alone when none comes', async () => {
  corkForCompany(stream);
  stream.write('a');
  await Promise.resolve();
  expect(isCorked(stream)).toBe(true);
  await nextWrite;
  expect(writes).toEqual(['a']);
  expect(isCorked(stream)).toBe(false);
});

test('what waits for company leaves at once when it is let go', () => {
  corkForCompany(stream);
  stream.write('a');
  stream.write('b');
  writeNow(stream);
  expect(writes).toEqual(['ab']);
});

test('letting go leaves a turn whole, and is harmless where nothing waits', async () => {
  writeNow(stream);
  corkForTurn(stream);
  stream.write('a');
  writeNow(stream);
  stream.write('b');
  expect(writes).toEqual([]);
  await turn();
  expect(writes).toEqual(['ab']);
});

test('two streams do not wait for each other', async () => {
  const other = new Writable({ write: (_chunk, _encoding, done) => done() });
  corkForTurn(other);
  corkForCompany(stream);
  stream.write('a');
  writeNow(stream);
  expect(writes).toEqual(['a']);
  expect(isCorked(other)).toBe(true);
  await turn();
});
