import { describe, expect, test } from 'vitest';
import type { Kit } from '../kit.js';
import { PLACE, planOf } from '../program.js';
import * as programs from '../programs.js';

const BATCH = Buffer.from('a batch, undecoded');
const TRACE_PORT = 104n;

/** Trace batches, which go along with what the guest does anyway. */
export function tracesSuite(kit: Kit): void {
  const { create, enter, goOn } = kit;

  /** Registers of a guest that names a batch. */
  const naming = (address: number | bigint = PLACE.data, length: number | bigint = BATCH.byteLength) => ({
    r8: TRACE_PORT,
    r9: BigInt(address),
    r10: BigInt(length),
  });
  const asked = { traces: true, writes: [{ address: PLACE.data, bytes: BATCH }] };
  const entry = { port: 104, bytes: new Uint8Array(BATCH) };

  describe('trace batches', () => {
    test('come with the halt', async () => {
      const answer = await enter(await create(programs.HALT), naming(), asked);
      expect(answer).toMatchObject({ exit: { kind: 'halt' }, outbox: [entry] });
      expect(answer.tracesDropped ?? 0).toBe(0);
    });

    test('come with an OUT for somebody outside, and not again when the guest goes on', async () => {
      const vm = await create(programs.PORTS);
      const first = await enter(vm, { ...naming(), rdx: 101n }, asked);
      expect(first).toMatchObject({ exit: { kind: 'io-out', port: 101 }, outbox: [entry] });
      const second = await goOn(vm);
      expect(second).toMatchObject({ exit: { kind: 'io-out', port: 101 }, outbox: [] });
    });

    test('come once with many OUTs that name the same one, in order among what is sent', async () => {
      const vm = await create(programs.SEND_THREE);
      const answer = await enter(vm, { ...naming(), rdx: 103n, rax: 0x61n }, asked);
      expect(answer.exit).toEqual({ kind: 'halt' });
      expect(answer.outbox.map(({ port }) => port)).toEqual([104, 103, 103, 103]);
    });

    test('have a port of their own, at which the guest goes on, asked or not', async () => {
      for (const traces of [true, false]) {
        const vm = await create(programs.SEND_THREE);
        const answer = await enter(vm, { ...naming(), rdx: TRACE_PORT }, { ...asked, traces });
        expect(answer.exit).toEqual({ kind: 'halt' });
        expect(answer.outbox).toHaveLength(traces ? 1 : 0);
      }
    });

    test('cost nothing unasked', async () => {
      const answer = await enter(await create(programs.HALT), naming(), { ...asked, traces: false });
      expect(answer).toMatchObject({ exit: { kind: 'halt' }, outbox: [] });
      expect(answer.clock).toBeUndefined();
    });

    test.each<[string, number | bigint, number | bigint]>([
      ['empty', PLACE.data, 0],
      ['at the end of memory', PLACE.memoryBytes, 1],
      ['over the end of memory', PLACE.memoryBytes - 4, 5],
      ['at 2^64-1', 2n ** 64n - 1n, 1],
      ['of 2^64-1 bytes', PLACE.data, 2n ** 64n - 1n],
      ['above 64 KiB', 0, 64 * 1024 + 1],
    ])('%s are dropped and counted, and the guest goes on', async (_label, address, length) => {
      const answer = await enter(await create(programs.HALT), naming(address, length), asked);
      expect(answer).toMatchObject({ exit: { kind: 'halt' }, outbox: [], tracesDropped: 1 });
    });

    test('without an output buffer leave the guest like any other', async () => {
      const vm = await create(programs.SEND_THREE, planOf(programs.SEND_THREE, { output: false }));
      const answer = await enter(vm, { rdx: TRACE_PORT });
      expect(answer.exit).toMatchObject({ kind: 'io-out', port: 104 });
    });

    test('come with the two clocks of each run, which go on from run to run', async () => {
      const vm = await create(programs.PORTS);
      const first = (await enter(vm, { rdx: 101n }, asked)).clock;
      const second = (await goOn(vm, { traces: true })).clock;
      if (!first || !second) throw new TypeError('there is no clock');
      const hostNs = [first.enteredNs, first.leftNs, second.enteredNs, second.leftNs];
      expect(hostNs).toEqual([...hostNs].sort((a, b) => a - b));
      const guest = [first.enteredTsc, first.leftTsc, second.enteredTsc, second.leftTsc];
      expect(guest).toEqual([...guest].sort((a, b) => (a < b ? -1 : 1)));
    });
  });
}
