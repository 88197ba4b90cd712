import type { RunAnswer } from '@mayfly/hypervisor';
import { describe, expect, test } from 'vitest';
import type { Kit } from '../kit.js';
import { OUTPUT_BYTES, PLACE, planOf, word } from '../program.js';
import * as programs from '../programs.js';

/** What the guest sends while nobody outside is needed. */
export function portsSuite(kit: Kit): void {
  const { create, enter } = kit;

  describe('the ports served on the thread', () => {
    const scalar = (character: string) => BigInt(character.codePointAt(0) as number);

    test('103 fills the outbox in order', async () => {
      const vm = await create(programs.SEND_THREE);
      const answer = await enter(vm, { rdx: 103n, rax: scalar('a'), rbx: scalar('🦋'), rcx: scalar('c') });
      expect(answer.exit).toEqual({ kind: 'halt' });
      expect(outboxText(answer)).toBe('a🦋c');
    });

    test('99 pops one record off the output buffer, byte for byte', async () => {
      const vm = await create(programs.SEND_THREE);
      const records = [1, 2, 3].map((fill) => record(fill, 4 * fill));
      const answer = await enter(
        vm,
        { rdx: 99n },
        { writes: [{ address: PLACE.output, bytes: stackOf(records) }] },
      );
      expect(answer.exit).toEqual({ kind: 'halt' });
      expect(answer.outbox.map(({ port, bytes }) => [port, Buffer.from(bytes)])).toEqual(
        records.reverse().map((bytes) => [99, bytes]),
      );
      expect(Buffer.from(vm.read(PLACE.output, 8)).readBigUInt64LE()).toBe(8n);
    });

    const lies: [string, (stack: Buffer) => void][] = [
      ['an empty buffer', (stack) => stack.writeBigUInt64LE(8n, 0)],
      ['a stack pointer of 0', (stack) => stack.writeBigUInt64LE(0n, 0)],
      ['a stack pointer past the buffer', (stack) => stack.writeBigUInt64LE(BigInt(OUTPUT_BYTES + 1), 0)],
      ['a stack pointer of 2^64-1', (stack) => stack.writeBigUInt64LE(2n ** 64n - 1n, 0)],
      ['a back pointer of 0', (stack) => stack.writeBigUInt64LE(0n, 24)],
      ['a back pointer past the element', (stack) => stack.writeBigUInt64LE(24n, 24)],
      ['a back pointer of 2^64-4', (stack) => stack.writeBigUInt64LE(2n ** 64n - 4n, 24)],
      ['a length past the element', (stack) => stack.writeUInt32LE(13, 8)],
      ['a length of 2^32-1', (stack) => stack.writeUInt32LE(2 ** 32 - 1, 8)],
    ];
    test.each(lies)('99 with %s is a protocol exit', async (_label, lie) => {
      const vm = await create(programs.SEND_THREE);
      const stack = stackOf([record(1, 12)]);
      lie(stack);
      const answer = await enter(vm, { rdx: 99n }, { writes: [{ address: PLACE.output, bytes: stack }] });
      expect(answer.exit).toEqual({ kind: 'protocol', reason: expect.stringMatching(/./) });
    });

    test('102 settles once, at the terminator, with the bytes before it', async () => {
      const vm = await create(programs.SEND_THREE);
      const answer = await enter(vm, { rdx: 102n, rax: 0x6968_0f03n, rbx: 0x2101n, rcx: 0xff01n });
      expect(answer.exit).toMatchObject({ kind: 'io-out', port: 102 });
      expect(answer.outbox).toEqual([{ port: 102, bytes: expect.anything() }]);
      expect(Buffer.from(answer.outbox[0]?.bytes ?? [])).toEqual(Buffer.from([0x0f, 0x68, 0x69, 0x21]));
    });

    test('102 takes three bytes at most of a value, and forgets an abort that an entry cut short', async () => {
      const vm = await create(programs.SEND_THREE);
      expect((await enter(vm, { rdx: 102n, rax: 0x6161_61ffn })).exit).toEqual({ kind: 'halt' });
      const answer = await enter(vm, { rdx: 102n, rax: 0x6262_62fen, rbx: 0xff01n });
      expect(Buffer.from(answer.outbox[0]?.bytes ?? []).toString()).toBe('bbb');
    });

    test('102 without an end overflows into an abort that says so', async () => {
      const vm = await create(programs.FLOOD);
      const answer = await enter(vm, { rdx: 102n, rax: 0x7878_7803n });
      expect(answer.exit).toMatchObject({ kind: 'io-out', port: 102 });
      expect(Buffer.from(answer.outbox.at(-1)?.bytes ?? []).toString()).toBe(
        '\0Guest abort buffer overflowed',
      );
    });

    test('a flood is capped and counted, and ends by the deadline or as a protocol exit', async () => {
      const vm = await create(programs.FLOOD);
      const answer = await enter(vm, { rdx: 103n, rax: 0x61n }, { startsCall: true, deadlineUs: 2_000_000 });
      expect(['cancelled', 'protocol']).toContain(answer.exit.kind);
      expect(answer.outboxDropped).toBeGreaterThan(0);
      expect(answer.outbox.length).toBeLessThan(100_000);
    });

    test.each([105n, 106n])('%s is counted, and the guest goes on', async (port) => {
      const vm = await create(programs.SEND_THREE);
      for (let call = 0; call < 2; call++) {
        const answer = await enter(vm, { rdx: port, rax: 64n, rcx: 0x1000n });
        expect(answer).toMatchObject({ exit: { kind: 'halt' }, outbox: [], outboxDropped: 0, heapEvents: 3 });
      }
    });

    test('without an output buffer leave the guest like any other', async () => {
      const vm = await create(programs.SEND_THREE, planOf(programs.SEND_THREE, { output: false }));
      const answer = await enter(vm, { rdx: 103n, rax: 0x61n });
      expect(answer).toMatchObject({ exit: { kind: 'io-out', port: 103, value: 0x61 }, outbox: [] });
    });
  });
}

function outboxText({ outbox }: RunAnswer): string {
  return outbox
    .map(({ port, bytes }) => (port === 103 ? String.fromCodePoint(Buffer.from(bytes).readUInt32LE()) : '?'))
    .join('');
}

/** An element of an I/O stack: a length prefix and that many bytes. */
function record(fill: number, lengthBytes: number): Buffer {
  const bytes = Buffer.alloc(4 + lengthBytes, fill);
  bytes.writeUInt32LE(lengthBytes, 0);
  return bytes;
}

/** An output buffer that holds the elements, the last one on top (guest-abi 6). */
function stackOf(elements: readonly Buffer[]): Buffer {
  const pieces: Buffer[] = [Buffer.alloc(8)];
  let top = 8;
  for (const element of elements) {
    pieces.push(element, Buffer.from(word(BigInt(top))));
    top += element.byteLength + 8;
  }
  const stack = Buffer.concat(pieces);
  stack.writeBigUInt64LE(BigInt(top), 0);
  return stack;
}
