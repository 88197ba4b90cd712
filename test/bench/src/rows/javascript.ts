import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { ReturnType, TypedValue } from '@mayfly/contracts';
import { createKvmDriver, loadSandbox, type Sandbox } from '@mayfly/hypervisor';
import { FloorProcess } from '../floor-process.js';
import { type BenchContext, type Benchmark, type Row, row } from '../row.js';

const ROUNDS = 20;
const CALLS = 200;
const WARM_CALLS = 3000;
/** Host calls of one guest call: enough that noise in the rest of the call is under a percent of them. */
const HOST_CALLS = 200;

/** Interleaves rounds of ours with rounds of the bare exit, so that both see the same machine. */
async function measure(context: BenchContext, ours: (count: number) => Promise<number[]>) {
  const floor = new FloorProcess(path.join(context.root, 'test/bench/build/floor-server'));
  const samples: { ours: number[]; floor: number[] } = { ours: [], floor: [] };
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      samples.floor.push(...(await floor.exitsUs(CALLS)));
      samples.ours.push(...(await ours(CALLS)));
    }
  } finally {
    await floor.close();
  }
  return samples;
}

async function withSandbox(
  context: BenchContext,
  guest: string,
  use: (sandbox: Sandbox) => Promise<Row[]>,
): Promise<Row[]> {
  const driver = await createKvmDriver({ slots: 1 });
  try {
    const loaded = await loadSandbox(
      driver,
      await readFile(path.join(context.root, `guests/build/${guest}.elf`)),
    );
    loaded.registerHostFunction('Tick', { params: ['int'], returns: 'int' }, (_ctx, value) => value);
    return await use(await loaded.evolve());
  } finally {
    await driver.close();
  }
}

interface GuestCall {
  readonly guest: string;
  readonly entrypoint: string;
  readonly args: readonly TypedValue[];
  readonly returns: ReturnType;
  readonly trace: boolean;
  /** Of the guest, in a call that is traced. */
  readonly spans: number;
}

const ECHO = {
  guest: 'echo',
  entrypoint: 'EchoString',
  args: [{ type: 'string', value: 'hello world' }],
  returns: 'string',
} as const;
/** Eight spans inside each other, and an event in the innermost. */
const NEST = {
  guest: 'trace',
  entrypoint: 'Nest',
  args: [{ type: 'int', value: 8 }],
  returns: 'int',
} as const;

/** An awaited call with complete restore, one at a time. */
function guestCallRow(
  name: string,
  { guest, entrypoint, args, returns, trace, spans }: GuestCall,
): Benchmark {
  return {
    rows: [name],
    run: (context) =>
      withSandbox(context, guest, async (sandbox) => {
        const options = { timeoutMs: 1000, trace };
        const call = async () => {
          const report = await sandbox.invoke(entrypoint, args, returns, options);
          if (report.outcome !== 'succeeded') throw new TypeError(`${entrypoint} ended in ${report.outcome}`);
          return report;
        };
        for (let i = 0; i < WARM_CALLS; i += 1) await call();
        // The price of a span must not be a VM exit.
        const plain = await sandbox.invoke(entrypoint, args, returns, { timeoutMs: 1000 });
        const asked = await call();
        if (asked.exits !== plain.exits || (asked.trace?.spans.length ?? 0) !== spans)
          throw new TypeError(
            `${asked.exits} exits instead of ${plain.exits}, ${asked.trace?.spans.length} spans`,
          );
        const samples = await measure(context, async (count) => {
          const durations: number[] = [];
          for (let i = 0; i < count; i += 1) {
            const started = process.hrtime.bigint();
            await call();
            durations.push(Number(process.hrtime.bigint() - started) / 1000);
          }
          return durations;
        });
        return [row(name, 'us', samples.ours, samples.floor)];
      }),
  };
}

/** The SDK's echo. */
export const guestCallJs = guestCallRow('guest-call-js', { ...ECHO, trace: false, spans: 0 });
/** The same, with its trace gathered: clocks, host calls, and what the guest would say. */
export const guestCallJsTraced = guestCallRow('guest-call-js-traced', { ...ECHO, trace: true, spans: 0 });
/** A guest that says much of itself. */
export const guestCallJsGuestSpans = guestCallRow('guest-call-js-guest-spans', {
  ...{ ...NEST, trace: true, spans: 8 },
});

/**
 * One round trip to a JavaScript host function: what a call that makes many takes longer than one that makes none,
 * divided. The report's `runUs` would not do: it leaves the time of host functions out.
 */
export const hostCallJs: Benchmark = {
  rows: ['host-call-js'],
  run: (context) =>
    withSandbox(context, 'hostcalls', async (sandbox) => {
      const callUs = async (hostCalls: number) => {
        const started = process.hrtime.bigint();
        const report = await sandbox.invoke('CallHost', [{ type: 'int', value: hostCalls }], 'int', {
          timeoutMs: 5000,
        });
        const elapsedUs = Number(process.hrtime.bigint() - started) / 1000;
        if (report.outcome !== 'succeeded' || report.hostCalls !== hostCalls)
          throw new TypeError(`${report.hostCalls} host calls: ${report.outcome}`);
        return elapsedUs;
      };
      const roundTripUs = async () => ((await callUs(HOST_CALLS)) - (await callUs(0))) / HOST_CALLS;
      for (let i = 0; i < 20; i += 1) await roundTripUs();
      const samples = await measure(context, async (count) => {
        const durations: number[] = [];
        for (let i = 0; i < count / 20; i += 1) durations.push(await roundTripUs());
        return durations;
      });
      return [row('host-call-js', 'us', samples.ours, samples.floor)];
    }),
};
