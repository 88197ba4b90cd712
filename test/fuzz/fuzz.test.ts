import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readCorpus } from './src/corpus.js';
import { fuzz } from './src/fuzzer.js';
import { NATIVE_TARGETS, runNative } from './src/native-targets.js';
import { Random } from './src/random.js';
import { type FuzzTarget, judge, must } from './src/target.js';
import { TARGETS } from './src/targets/index.js';

/** The same inputs each time; `npm run fuzz` takes others. */
const SEED = 4;
const SECONDS = 2;

describe.each(TARGETS)('$name', (target) => {
  test('every kept input is answered or refused by name', () => {
    const corpus = readCorpus(target.name);
    expect(corpus.length).toBeGreaterThan(0);
    for (const input of corpus) expect(judge(target, input).finding).toBeUndefined();
  });

  test('mutations of the kept inputs are answered or refused by name', () => {
    const report = fuzz(target, { seed: SEED, seconds: SECONDS, corpus: readCorpus(target.name) });
    expect(report.finding).toBeUndefined();
    expect(report.inputs).toBeGreaterThan(readCorpus(target.name).length);
    expect(report.answers).toBeGreaterThan(1);
  });
});

describe('the native core', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-fuzz-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  beforeAll(() => {
    const sources = fileURLToPath(new URL('.', import.meta.url));
    execFileSync('make', ['-C', sources, '-j2'], { stdio: 'pipe' });
  });

  test.each(NATIVE_TARGETS)(
    '$name keeps its promises for kept inputs, and for those by chance',
    async (target) => {
      expect(await runNative(target, { seconds: SECONDS, seed: SEED })).toMatchObject({ ok: true });
    },
  );

  test.each([
    {
      text: 'kept line 2 is no input',
      program: 'outbox-fuzz',
      lines: 'out:62 -> not mine, entries 0\nout:no',
    },
    { text: 'kept line 1 shows: not mine', program: 'outbox-fuzz', lines: 'out:62 -> go on, entries 0' },
    {
      text: 'kept line 2 shows what line 1 does',
      program: 'outbox-fuzz',
      lines: 'out:62 -> not mine, entries 0\n'.repeat(2),
    },
    { text: 'no kept inputs', program: 'walk-fuzz', lines: '# none' },
  ])('a run whose kept inputs are not as they say fails: $text', async ({ text, program, lines }) => {
    const kept = join(folder, 'kept.txt');
    writeFileSync(kept, lines);
    const run = await runNative({ program, kept }, { seconds: 0, seed: SEED });
    expect(run).toMatchObject({ ok: false, output: expect.stringContaining(text) });
  });
});

describe('the fuzzer', () => {
  const target = (run: (input: Uint8Array) => string): FuzzTarget => ({ name: 'own', format: 'bytes', run });
  const corpus = [Uint8Array.from(Buffer.from('a longer input than one byte'))];

  test('finds an error that has no name, and the input that brings it', () => {
    const brittle = target((input) => {
      if (input[3] === 0) throw new TypeError('no');
      return 'fine';
    });
    const { finding } = fuzz(brittle, { seed: SEED, seconds: 10, corpus });
    expect(finding?.input[3]).toBe(0);
    expect(finding?.text).toContain('TypeError: no');
  });

  test('finds an answer that must not be', () => {
    const wrong = target((input) => {
      must(input.byteLength === corpus[0]?.byteLength, 'the length changed');
      return 'fine';
    });
    expect(fuzz(wrong, { seed: SEED, seconds: 10, corpus }).finding?.text).toContain('the length changed');
  });

  test('finds an input that makes the process grow', () => {
    const kept: Uint8Array[] = [];
    const greedy = target(() => {
      kept.push(new Uint8Array(80 * 1024 * 1024));
      return 'fine';
    });
    expect(fuzz(greedy, { seed: SEED, seconds: 10, corpus }).finding?.text).toMatch(/used \d+ bytes/);
  });

  test('makes the same inputs of the same seed', () => {
    const draw = (seed: number) => {
      const random = new Random(seed);
      return Array.from({ length: 20 }, () => random.uint32());
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });
});
