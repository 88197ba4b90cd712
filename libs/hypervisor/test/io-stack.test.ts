import { describe, expect, test } from 'vitest';
import {
  emptyStack,
  largestElementBytes,
  onlyElement,
  popElement,
  pushElement,
} from '../src/memory/io-stack.js';

const stack = { address: 0x100, lengthBytes: 0x1000 };

class Memory {
  readonly bytes = Buffer.alloc(0x2000);
  read(address: number, lengthBytes: number): Uint8Array {
    return Uint8Array.from(this.bytes.subarray(address, address + lengthBytes));
  }
  apply(writes: readonly { address: number; bytes: Uint8Array }[]): void {
    for (const { address, bytes } of writes) this.bytes.set(bytes, address);
  }
  word(offset: number, value: bigint): void {
    this.bytes.writeBigUInt64LE(value, stack.address + offset);
  }
}

function emptied(): Memory {
  const memory = new Memory();
  memory.apply([emptyStack(stack)]);
  return memory;
}

const element = (length: number, fill = 7) => {
  const bytes = Buffer.alloc(length, fill);
  bytes.writeUInt32LE(length - 4, 0);
  return bytes;
};

describe('an I/O stack', () => {
  test('is header, element and back pointer, as guest-abi 6 draws it', () => {
    const memory = emptied();
    memory.apply(pushElement(memory, stack, element(12)));
    memory.apply(pushElement(memory, stack, element(16)));
    const words = [0, 20, 44].map((offset) => memory.bytes.readBigUInt64LE(stack.address + offset));
    expect(words).toEqual([52n, 8n, 28n]);
  });

  test('gives elements back last in, first out, and leaves zeroes and the old header', () => {
    const memory = emptied();
    memory.apply(pushElement(memory, stack, element(12, 1)));
    memory.apply(pushElement(memory, stack, element(16, 2)));
    for (const length of [16, 12]) {
      const popped = popElement(memory, stack);
      expect(popped.bytes).toHaveLength(length);
      memory.apply(popped.removal);
    }
    const clean = emptied();
    expect(memory.bytes).toEqual(clean.bytes);
  });

  test.each([20, 65_528, 65_529, 200_000])('pops an element of %i bytes from a large stack', (length) => {
    const large = { address: 0, lengthBytes: 1 << 20 };
    const bytes = Buffer.alloc(large.lengthBytes);
    const memory = {
      read: (address: number, count: number) => Uint8Array.from(bytes.subarray(address, address + count)),
    };
    const write = onlyElement(large, element(length));
    bytes.set(write?.bytes as Uint8Array, 0);
    const popped = popElement(memory, large);
    expect(Buffer.compare(popped.bytes, element(length))).toBe(0);
    for (const removal of popped.removal) bytes.set(removal.bytes, removal.address);
    expect(bytes.readBigUInt64LE(0)).toBe(8n);
    expect(bytes.subarray(8).every((byte) => byte === 0)).toBe(true);
  });

  test('onlyElement writes what a push onto an empty stack writes', () => {
    const memory = emptied();
    memory.apply(pushElement(memory, stack, element(40)));
    const other = emptied();
    const write = onlyElement(stack, element(40));
    other.apply(write ? [write] : []);
    expect(other.bytes).toEqual(memory.bytes);
  });

  test('takes an element of exactly its size less 16, and no larger one', () => {
    const largest = largestElementBytes(stack);
    expect(onlyElement(stack, element(largest))?.bytes).toHaveLength(stack.lengthBytes);
    expect(onlyElement(stack, element(largest + 1))).toBeUndefined();
    const memory = emptied();
    memory.apply(pushElement(memory, stack, element(largest)));
    expect(popElement(memory, stack).bytes).toHaveLength(largest);
    expect(() => pushElement(emptied(), stack, element(largest + 1))).toThrow(
      `Not enough space in buffer to push data. Required: ${largest + 9}, Available: ${largest + 8}`,
    );
  });

  test.each([0n, 7n, 0x1001n, 1n << 32n, 1n << 53n, 0xffff_ffff_ffff_ffffn])(
    'refuses a push at a header of %i',
    (header) => {
      const memory = new Memory();
      memory.word(0, header);
      expect(() => pushElement(memory, stack, element(8))).toThrow(
        expect.objectContaining({
          code: 'MAYFLY_ERR_GUEST_PROTOCOL',
          message: expect.stringMatching(/^Unable to push data to buffer: Stack pointer is out of bounds/),
        }),
      );
    },
  );

  const lies: [string, (memory: Memory) => void][] = [
    ['an empty stack', () => undefined],
    ...[0n, 8n, 15n, 0x1001n, 1n << 32n, 0xffff_ffff_ffff_ffffn].map(
      (header) =>
        [`a header of ${header}`, (memory: Memory) => memory.word(0, header)] as [
          string,
          (memory: Memory) => void,
        ],
    ),
    ...[0n, 7n, 29n, 32n, 40n, 0x1000n, 1n << 32n, 0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_fffcn].map(
      (back) =>
        [
          `a back pointer of ${back}`,
          (memory: Memory) => {
            memory.word(0, 40n);
            memory.word(32, back);
          },
        ] as [string, (memory: Memory) => void],
    ),
    ...[21, 0x1000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffc, 0xffff_ffff].map(
      (length) =>
        [
          `a length prefix of ${length}`,
          (memory: Memory) => {
            memory.word(0, 40n);
            memory.word(32, 8n);
            memory.bytes.writeUInt32LE(length, stack.address + 8);
          },
        ] as [string, (memory: Memory) => void],
    ),
  ];
  test.each(lies)('refuses a pop from %s', (_name, lie) => {
    const memory = emptied();
    lie(memory);
    expect(() => popElement(memory, stack)).toThrow(
      expect.objectContaining({ code: 'MAYFLY_ERR_GUEST_PROTOCOL' }),
    );
  });
});
