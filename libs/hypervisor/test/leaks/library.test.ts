import { existsSync, readFileSync } from 'node:fs';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { GENERATION_OFFSET } from '../../src/generation.js';
import {
  createKvmDriver,
  type HostCallContext,
  type HypervisorDriver,
  loadSandbox,
  type Sandbox,
} from '../../src/index.js';
import { buildElf } from '../../src/testing.js';
import { assemble } from './support.js';

const GUESTS = new URL('../../../../guests/build/', import.meta.url);
const { driver, skipped } = await start();
afterAll(() => driver?.close());

async function start(): Promise<{ driver?: HypervisorDriver; skipped: string }> {
  if (!existsSync(new URL('state.elf', GUESTS))) return { skipped: ' (skipped: the guests are not built)' };
  try {
    return { driver: await createKvmDriver({ slots: 1 }), skipped: '' };
  } catch (error) {
    return { skipped: ` (skipped: ${error instanceof Error ? error.message : String(error)})` };
  }
}

async function guest(
  elf: Uint8Array,
  handler?: (ctx: HostCallContext, value: unknown) => unknown,
): Promise<Sandbox> {
  const loaded = await loadSandbox(driver as HypervisorDriver, elf, {
    liveCheck: { oneIn: 1 },
    budget: { hostCalls: 2 },
  });
  if (handler) loaded.registerHostFunction('HostInt', { params: ['int'], returns: 'int' }, handler);
  const sandbox = await loaded.evolve();
  onTestFinished(() => sandbox.close());
  return sandbox;
}
const built = (name: string) => readFileSync(new URL(`${name}.elf`, GUESTS));
const string = (value: string) => ({ type: 'string', value }) as const;
const int = (value: number) => ({ type: 'int', value }) as const;

/** Sends the 32 bytes of its generation to port 103, one character each, and halts without a result. */
const GENERATION_GUEST = buildElf({
  code: assemble(`
    leaq dispatch(%rip), %rax
    movq %rax, 8(%rdi)
    movq %rdi, peb(%rip)
    hlt
    dispatch:
    movq peb(%rip), %rsi
    addq $${GENERATION_OFFSET}, %rsi
    movl $32, %ecx
    movl $103, %edx
    1: movzbl (%rsi), %eax
    outl %eax, %dx
    incq %rsi
    decl %ecx
    jnz 1b
    hlt
    peb: .quad 0`),
});

describe.skipIf(!driver)(`what the library keeps of a call${skipped}`, () => {
  test('variables, heap, registers and the output buffer of a guest in C are as after its initialisation', async () => {
    const sandbox = await guest(built('state'));
    const once = async (name: string, returns: 'int' | 'string' | 'ulong') =>
      (await sandbox.invoke(name, [], returns)).value;
    const registers = await once('ShowRegisters', 'string');
    for (let round = 0; round < 3; round++) {
      expect(await once('Count', 'int')).toEqual(int(1));
      expect(await once('CountEverywhere', 'int')).toEqual(int(3));
      await once('SoilRegisters', 'int');
      expect(await once('ShowRegisters', 'string')).toEqual(registers);
      expect(await once('ReadLeftovers', 'ulong')).toEqual({ type: 'ulong', value: 0n });
    }
  });

  test('logs, printed text and counters of a call are not in the report of the next', async () => {
    const sandbox = await guest(built('output'));
    const same = ({ phases: _, dirtyPages: __, ...rest }: Awaited<ReturnType<typeof clean>>) => rest;
    const clean = () => sandbox.invoke('Print', [string('')], 'int');
    const first = same(await clean());
    for (const [name, args, field] of [
      ['Print', [string('text')], 'printed'],
      ['DebugPrint', [string('text')], 'debugPrinted'],
      ['Log', [int(1), string('text')], 'logs'],
      ['Print', [string('text')], 'hostCalls'],
    ] as const) {
      const report = await sandbox.invoke(name, args, 'int');
      expect(report[field], field).not.toEqual(first[field]);
      expect(same(await clean()), `after ${field}`).toEqual(first);
    }
  });

  test('a call that poisons its sandbox does not poison the next', async () => {
    const sandbox = await guest(built('spin'));
    const work = () => sandbox.invoke('Work', [{ type: 'uint', value: 1 }], 'uint');
    const clean = await work();
    for (let round = 0; round < 3; round++) {
      expect((await sandbox.invoke('Spin', [], 'void', { timeoutMs: 5 })).outcome).toBe('timeout');
      expect(sandbox.poisoned).toBe(true);
      expect((await work()).value).toEqual(clean.value);
      expect(sandbox.poisoned).toBe(false);
    }
  });

  test('a host function sees the context, signal and budget of its own call', async () => {
    const seen: [call: unknown, aborted: boolean, remainingMs: number][] = [];
    const signals = new Set<AbortSignal>();
    const sandbox = await guest(built('hostcalls'), (ctx, value) => {
      seen.push([ctx.call, ctx.signal.aborted, ctx.remainingMs]);
      signals.add(ctx.signal);
      if (value === 1) throw new Error('no');
      return value;
    });
    for (let round = 0; round < 4; round++) {
      const report = await sandbox.invoke('RelayInt', [int(round % 2)], 'int', {
        context: round,
        ...(round > 1 && { timeoutMs: 5000 }),
      });
      expect([report.outcome, report.hostCalls]).toEqual([round % 2 ? 'guest-error' : 'succeeded', 1]);
    }
    expect(signals.size).toBe(4);
    expect(seen.map(([call, aborted]) => [call, aborted])).toEqual([0, 1, 2, 3].map((call) => [call, false]));
    expect(seen.map(([, , remainingMs]) => remainingMs <= 5000)).toEqual([false, false, true, true]);
  });

  test('a host function that outlives its call takes the sandbox with it', async () => {
    const sandbox = await guest(built('hostcalls'), () => new Promise(() => undefined));
    const report = await sandbox.invoke('RelayInt', [int(1)], 'int', { timeoutMs: 10 });
    expect([report.outcome, sandbox.doubtful]).toEqual(['timeout', true]);
    await expect(sandbox.invoke('RelayInt', [int(1)], 'int')).rejects.toMatchObject({
      code: 'MAYFLY_ERR_SANDBOX_DOUBTFUL',
    });
  });

  test('clones and invokes find generation, seed and time of their own', async () => {
    const sandbox = await guest(GENERATION_GUEST.bytes);
    expect(sandbox.warm).toBe(true);
    const snapshot = await sandbox.snapshot();
    const clone = await snapshot.instantiate();
    onTestFinished(() => clone.close());
    snapshot.close();
    const seen: string[] = [];
    for (let round = 0; round < 10; round++)
      for (const it of [sandbox, clone]) {
        // Not within the tick of the clock that an earlier time came from.
        const last = Date.now();
        while (Date.now() === last);
        const beforeMs = Date.now();
        const { debugPrinted } = await it.invoke('Any', [], 'void');
        expect(debugPrinted).toHaveLength(32);
        const timeMs = Number(Buffer.from(debugPrinted, 'latin1').readBigUInt64LE(24) / 1_000_000n);
        expect(timeMs).toBeGreaterThanOrEqual(beforeMs);
        expect(timeMs).toBeLessThanOrEqual(Date.now());
        seen.push(debugPrinted);
      }
    expect(new Set(seen.map((text) => text.slice(0, 16))).size).toBe(seen.length);
    expect(new Set(seen.map((text) => text.slice(16, 24))).size).toBe(seen.length);
  });
});
