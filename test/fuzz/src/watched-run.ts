import { Worker } from 'node:worker_threads';
import { type FuzzFinding, type FuzzReport, fuzz } from './fuzzer.js';
import type { FuzzTarget } from './target.js';

/** Without an end of an input for so long, it hangs. Far beyond a second: the machine may be busy. */
const HANG_MS = 5000;
const WATCH_INTERVAL_MS = 250;
const HEAP_MIB = 512;
const MAX_INPUT_BYTES = 1024 * 1024;

export interface WatchedRun {
  readonly seed: number;
  readonly seconds: number;
}

/** What the thread runs, and where it leaves its current input: [count, length] and the bytes. */
export interface ThreadData extends WatchedRun {
  readonly target: string;
  readonly progress: SharedArrayBuffer;
  readonly input: SharedArrayBuffer;
}

/** Fuzzes a target in a thread of its own, so that a hang or an exhausted heap is a finding, too. */
export async function watchedRun(target: FuzzTarget, run: WatchedRun): Promise<FuzzReport> {
  const progress = new SharedArrayBuffer(8);
  const input = new SharedArrayBuffer(MAX_INPUT_BYTES);
  const counters = new Int32Array(progress);
  const data: ThreadData = { ...run, target: target.name, progress, input };
  const worker = new Worker(new URL('./thread.js', import.meta.url), {
    workerData: data,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB },
  });
  const current = (text: string): FuzzReport => {
    const bytes = new Uint8Array(input).slice(0, counters[1]);
    return { inputs: counters[0] ?? 0, answers: 0, finding: { input: bytes, text } };
  };
  let watch: NodeJS.Timeout | undefined;
  try {
    return await new Promise<FuzzReport>((resolve) => {
      worker.once('message', resolve);
      worker.once('error', (error) => resolve(current(`the thread ended: ${error.message}`)));
      let seen = 0;
      let sinceMs = performance.now();
      watch = setInterval(() => {
        const count = counters[0] ?? 0;
        if (count !== seen || count === 0) {
          seen = count;
          sinceMs = performance.now();
        } else if (performance.now() - sinceMs > HANG_MS) resolve(current('the input hangs'));
      }, WATCH_INTERVAL_MS);
    });
  } finally {
    clearInterval(watch);
    await worker.terminate();
  }
}

/** The thread's part: every input is left where the watcher sees it before it runs. */
export function fuzzInThread(
  target: FuzzTarget,
  data: ThreadData,
  corpus: readonly Uint8Array[],
): FuzzReport {
  const counters = new Int32Array(data.progress);
  const shared = new Uint8Array(data.input);
  const report = fuzz(target, {
    seed: data.seed,
    seconds: data.seconds,
    corpus,
    before: (input) => {
      const kept = input.subarray(0, shared.byteLength);
      shared.set(kept);
      counters[1] = kept.byteLength;
      counters[0] = (counters[0] ?? 0) + 1;
    },
  });
  return report.finding === undefined ? report : { ...report, finding: copyOf(report.finding) };
}

/** A view of a larger buffer would take all of it along. */
function copyOf({ input, text }: FuzzFinding): FuzzFinding {
  return { input: input.slice(), text };
}
