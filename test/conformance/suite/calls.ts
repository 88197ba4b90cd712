import { describe, expect, test } from 'vitest';
import { error, type Kit } from '../kit.js';
import { PLACE } from '../program.js';
import * as programs from '../programs.js';

const { code } = PLACE;

/** One operation at a time; calls, kills, revocations and deadlines. */
export function callsSuite(kit: Kit): void {
  const { create, enter, goOn, firstWord } = kit;

  describe('one operation at a time', () => {
    test('others are refused as busy while the guest runs', async () => {
      const vm = await create(programs.SPIN);
      const running = enter(vm, {}, { startsCall: true });
      expect(() => vm.read(0, 1)).toThrow(error('MAYFLY_ERR_VM_BUSY'));
      expect(() => vm.write(0, new Uint8Array(1))).toThrow(error('MAYFLY_ERR_VM_BUSY'));
      await expect(enter(vm)).rejects.toThrow(error('MAYFLY_ERR_VM_BUSY'));
      await expect(vm.snapshot()).rejects.toThrow(error('MAYFLY_ERR_VM_BUSY'));
      expect(vm.interrupt.kill()).toBe(true);
      expect((await running).exit).toEqual({ kind: 'cancelled', by: 'kill' });
      vm.endCall();
      expect(vm.read(code, 1)).toHaveLength(1);
    });

    test('two VMs run side by side', async () => {
      const [one, other] = [await create(programs.COUNT_AND_SPIN), await create(programs.COUNT)];
      let rounds = 0n;
      // On a busy machine the first thread may not have entered its guest when the second one is through.
      while (firstWord(one) === 0n) {
        const spinning = enter(one, {}, { startsCall: true });
        for (let round = 0; round < 5; round++) {
          expect((await enter(other)).exit).toEqual({ kind: 'halt' });
          expect(firstWord(other)).toBe(++rounds);
        }
        one.interrupt.kill();
        expect((await spinning).exit).toEqual({ kind: 'cancelled', by: 'kill' });
        one.endCall();
      }
      expect(firstWord(one)).toBe(1n);
    });
  });
  describe('a call', () => {
    test('has a generation and is active over its runs until it is ended', async () => {
      const vm = await create(programs.ASK_AND_TELL);
      const { interrupt } = vm;
      const before = interrupt.generation;
      expect(interrupt.callActive).toBe(false);
      await enter(vm, {}, { startsCall: true });
      expect([interrupt.callActive, interrupt.generation]).toEqual([true, before + 1n]);
      await goOn(vm);
      await goOn(vm);
      expect([interrupt.callActive, interrupt.generation]).toEqual([true, before + 1n]);
      vm.endCall();
      vm.endCall();
      expect([interrupt.callActive, interrupt.generation]).toEqual([false, before + 1n]);
      await enter(vm);
      expect([interrupt.callActive, interrupt.generation]).toEqual([false, before + 1n]);
    });

    test('is killed while the guest runs', async () => {
      const [vm, other] = [await create(programs.COUNT_AND_SPIN), await create(programs.HALT)];
      // Time for the other slot to enter its guest; more of it when that was not enough.
      for (let rounds = 20; firstWord(vm) === 0n; rounds *= 2) {
        const running = enter(vm, {}, { startsCall: true });
        for (let round = 0; round < rounds; round++) await enter(other);
        expect(vm.interrupt.kill()).toBe(true);
        expect((await running).exit).toEqual({ kind: 'cancelled', by: 'kill' });
        vm.endCall();
      }
      expect(firstWord(vm)).toBe(1n);
    });

    test('that waits for the host is not entered again once it is killed', async () => {
      const vm = await create(programs.COUNT_ASK_COUNT);
      await enter(vm, {}, { startsCall: true });
      expect(vm.interrupt.kill()).toBe(true);
      expect((await goOn(vm)).exit).toEqual({ kind: 'cancelled', by: 'kill' });
      expect(firstWord(vm)).toBe(1n);
    });

    test('is not reached by a kill before it, and an ended one is not killed', async () => {
      const vm = await create(programs.COUNT);
      expect(vm.interrupt.kill()).toBe(false);
      expect((await enter(vm, {}, { startsCall: true })).exit).toEqual({ kind: 'halt' });
      expect(vm.interrupt.kill()).toBe(true);
      vm.endCall();
      expect(vm.interrupt.kill()).toBe(false);
      expect((await enter(vm, {}, { startsCall: true })).exit).toEqual({ kind: 'halt' });
      vm.endCall();
      expect(firstWord(vm)).toBe(2n);
    });

    test('that was killed leaves a VM that runs the next one', async () => {
      const vm = await create(programs.COUNT_AND_SPIN);
      for (let round = 1; round <= 10; round++) {
        const running = enter(vm, { rip: BigInt(code) }, { startsCall: true });
        vm.interrupt.kill();
        expect((await running).exit).toEqual({ kind: 'cancelled', by: 'kill' });
        vm.endCall();
      }
      expect(firstWord(vm)).toBeLessThanOrEqual(10n);
    });

    test('a run outside a call is not killed', async () => {
      const vm = await create(programs.SPIN);
      const running = enter(vm, {}, { deadlineUs: 20_000 });
      expect(vm.interrupt.kill()).toBe(false);
      expect((await running).exit).toEqual({ kind: 'cancelled', by: 'deadline' });
    });
  });
  describe('a deadline', () => {
    test('ends a guest that runs', async () => {
      const vm = await create(programs.SPIN);
      for (const startsCall of [true, false]) {
        const answer = await enter(vm, {}, { startsCall, deadlineUs: 10_000 });
        expect(answer.exit).toEqual({ kind: 'cancelled', by: 'deadline' });
        expect(answer.phases.runNs).toBeGreaterThan(0);
        expect(answer.phases.leftNs - answer.phases.enteredNs).toBe(answer.phases.runNs);
        vm.endCall();
      }
    });

    test('ends a guest that keeps asking the host, over all runs of its call', async () => {
      const vm = await create(programs.ASK_FOR_EVER);
      let answer = await enter(vm, {}, { startsCall: true, deadlineUs: 10_000 });
      while (answer.exit.kind === 'io-out') {
        const { leftNs } = answer.phases;
        answer = await vm.run({});
        expect(answer.phases.enteredNs).toBeGreaterThanOrEqual(leftNs);
      }
      expect(answer.exit).toEqual({ kind: 'cancelled', by: 'deadline' });
    });

    test('that passed while the host worked ends the call at its next run', async () => {
      const [vm, clock] = [await create(programs.ASK_AND_TELL), await create(programs.SPIN)];
      await enter(vm, {}, { startsCall: true, deadlineUs: 200_000 });
      await enter(clock, {}, { deadlineUs: 250_000 });
      expect((await vm.run({})).exit).toEqual({ kind: 'cancelled', by: 'deadline' });
    });

    test('of one call does not reach the next', async () => {
      const [vm, clock] = [await create(programs.ASK_AND_TELL), await create(programs.SPIN)];
      await enter(vm, {}, { startsCall: true, deadlineUs: 200_000 });
      vm.endCall();
      await enter(clock, {}, { deadlineUs: 250_000 });
      expect((await enter(vm, {}, { startsCall: true, deadlineUs: 0 })).exit).toMatchObject({ port: 200 });
      expect((await vm.run({})).exit).toMatchObject({ port: 201 });
    });
  });
}
