import { describe, expect, test } from 'vitest';
import type { FakeGuestFunction, FakeGuestOptions } from '../src/testing.js';
import { evolveFake, FUNCTIONS, loadFake } from './fakes.js';

const int = (value: number) => ({ type: 'int', value }) as const;

/** Counts calls in memory. */
const Count: FakeGuestFunction = FUNCTIONS.Count;

describe('the warm snapshot', () => {
  test('is what invoke starts from, and a call that keeps state starts from the plain one', async () => {
    const sandbox = await evolveFake({ ...FUNCTIONS, Count });
    const count = async (how: 'call' | 'invoke') => (await sandbox[how]('Count', [], 'long')).value;
    expect([await count('invoke'), await count('invoke')]).toEqual([
      { type: 'long', value: 1n },
      { type: 'long', value: 1n },
    ]);
    // The state that an invoke leaves stays for the next call.
    expect(await count('call')).toEqual({ type: 'long', value: 2n });
    expect(await count('invoke')).toEqual({ type: 'long', value: 1n });
    const snapshot = await sandbox.snapshot();
    expect(await count('call')).toEqual({ type: 'long', value: 2n });
    await sandbox.restore(snapshot);
    expect(await count('call')).toEqual({ type: 'long', value: 2n });
    snapshot.close();
  });

  test('is shared by the sandboxes of one version, which keep state of their own', async () => {
    const sandbox = await evolveFake(FUNCTIONS);
    const snapshot = await sandbox.snapshot();
    const clones = await Promise.all([snapshot.instantiate(), snapshot.instantiate()]);
    snapshot.close();
    await sandbox.close();
    for (const clone of clones) {
      expect((await clone.invoke('Echo', [int(3)], 'int')).value).toEqual(int(3));
      expect((await clone.call('Count', [], 'long')).value).toEqual({ type: 'long', value: 1n });
      expect((await clone.invoke('Count', [], 'long')).value).toEqual({ type: 'long', value: 1n });
      await clone.close();
    }
  });

  test('that priming does not reach leaves the plain entry', async () => {
    const guest: FakeGuestOptions = {
      functions: FUNCTIONS,
      *beforeInput(it) {
        yield* it.callHost('HostPrint', [{ type: 'string', value: 'hello' }], 'int');
      },
    };
    const sandbox = await (await loadFake(guest)).evolve();
    for (const how of ['invoke', 'invoke', 'call'] as const) {
      const report = await sandbox[how]('Echo', [int(7)], 'int');
      expect(report).toMatchObject({ value: int(7), printed: 'hello', hostCalls: 1 });
    }
  });

  test('of a guest that spins before its input is given up, and its calls have their own deadline', async () => {
    const guest: FakeGuestOptions = {
      functions: FUNCTIONS,
      *beforeInput() {
        for (;;) yield { kind: 'spin' };
      },
    };
    const sandbox = await (await loadFake(guest)).evolve();
    expect((await sandbox.invoke('Echo', [int(1)], 'int', { timeoutMs: 5 })).outcome).toBe('timeout');
  });
});
