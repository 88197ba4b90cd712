import { mutateBytes } from './byte-mutation.js';
import { mutateJson } from './json-mutation.js';
import { Random } from './random.js';
import { type FuzzTarget, judge } from './target.js';

/** One input may not take longer. Checked again before it counts: the machine may have been busy. */
const MAX_INPUT_MS = 1000;
/** Nor may it make the process grow by more. */
const MAX_GROWTH_BYTES = 64 * 1024 * 1024;
const DEFAULT_MAX_BYTES = 64 * 1024;
/** Inputs with new answers that one run keeps in memory. */
const MAX_POOL = 2000;

export interface FuzzOptions {
  readonly seed: number;
  readonly seconds: number;
  readonly corpus: readonly Uint8Array[];
  /** Sees every input before it runs: a watcher outside can tell which one hangs. */
  readonly before?: (input: Uint8Array) => void;
}

export interface FuzzFinding {
  readonly input: Uint8Array;
  readonly text: string;
}

export interface FuzzReport {
  readonly inputs: number;
  /** Different answers, refusals counted by their text. */
  readonly answers: number;
  readonly finding?: FuzzFinding;
}

/** Runs the corpus, then mutations of it until the time is up or something is found. */
export function fuzz(target: FuzzTarget, options: FuzzOptions): FuzzReport {
  const random = new Random(options.seed);
  const maxBytes = target.maxBytes ?? DEFAULT_MAX_BYTES;
  const mutate = target.format === 'json' ? mutateJson : mutateBytes;
  const pool = [...options.corpus];
  const answers = new Set<string>();
  const endMs = performance.now() + options.seconds * 1000;
  let inputs = 0;

  const attempt = (input: Uint8Array, isMutation: boolean): FuzzFinding | undefined => {
    inputs++;
    options.before?.(input);
    const { answer, finding } = examine(target, input);
    if (finding !== undefined) return { input, text: finding };
    if (!answers.has(answer)) {
      answers.add(answer);
      if (isMutation && pool.length < MAX_POOL) pool.push(input);
    }
    return undefined;
  };

  for (const input of options.corpus) {
    const finding = attempt(input, false);
    if (finding) return { inputs, answers: answers.size, finding };
  }
  const empty = new Uint8Array(0);
  while (performance.now() < endMs) {
    const input = mutate(random.pick(pool) ?? empty, random.pick(pool) ?? empty, random, maxBytes);
    const finding = attempt(input, true);
    if (finding) return { inputs, answers: answers.size, finding };
  }
  return { inputs, answers: answers.size };
}

/** `judge`, with time and memory judged as well. */
export function examine(target: FuzzTarget, input: Uint8Array): { answer: string; finding?: string } {
  const startedMs = performance.now();
  const before = usedBytes();
  const verdict = judge(target, input);
  if (verdict.finding !== undefined) return verdict;
  const grown = usedBytes() - before;
  const tookMs = performance.now() - startedMs;
  if (tookMs > MAX_INPUT_MS && isSlowAgain(target, input))
    return { answer: 'slow', finding: `one input took ${Math.round(tookMs)} ms` };
  if (grown > MAX_GROWTH_BYTES)
    return { answer: 'large', finding: `one input of ${input.byteLength} bytes used ${grown} bytes` };
  return verdict;
}

function isSlowAgain(target: FuzzTarget, input: Uint8Array): boolean {
  for (let repeat = 0; repeat < 2; repeat++) {
    const startedMs = performance.now();
    judge(target, input);
    if (performance.now() - startedMs <= MAX_INPUT_MS) return false;
  }
  return true;
}

function usedBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
