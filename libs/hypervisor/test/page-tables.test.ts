import { describe, expect, test } from 'vitest';
import { Rights } from '../src/driver.js';
import { type GuestLayout, layoutMemory } from '../src/memory/layout.js';
import { encodePageTables } from '../src/memory/page-tables.js';

const memory = { heapBytes: 0x20000, stackBytes: 0x10000, inputBytes: 0x4000, outputBytes: 0x4000 };
const NO_EXECUTE = 1n << 63n;

/** The worked layout of guest-abi Appendix A, with or without init data. */
function layoutOf(rights?: number, imageBytes = 0x100000): GuestLayout {
  const initData = rights === undefined ? undefined : { lengthBytes: 1, rights };
  return layoutMemory({ imageBytes, memory, hostFunctionsBytes: 0x1000, initData });
}

function wordsOf(layout: GuestLayout): BigUint64Array {
  const bytes = encodePageTables(layout);
  return new BigUint64Array(bytes.buffer, 0, bytes.byteLength / 8);
}

/** The last entry of a walk from CR3 0, as the CPU walks it; 0 where one above it is not present. */
function leafOf(words: BigUint64Array, address: number): bigint {
  let table = 0;
  for (const shift of [39, 30, 21]) {
    const entry = words[table / 8 + (Math.floor(address / 2 ** shift) % 512)] ?? 0n;
    if ((entry & 1n) === 0n) return 0n;
    table = Number(entry & 0xf_ffff_ffff_f000n);
  }
  return words[table / 8 + (Math.floor(address / 4096) % 512)] ?? 0n;
}

describe('encodePageTables', () => {
  test('writes the tables above the leaves as guest-abi 1.3 has them', () => {
    const words = wordsOf(layoutOf());
    expect(words).toHaveLength(4 * 512);
    expect([...words.subarray(0, 512)]).toEqual([0x1003n, ...Array(511).fill(0n)]);
    expect([...words.subarray(512, 1024)]).toEqual([0x2003n, ...Array(511).fill(0n)]);
    expect([...words.subarray(1024, 1536)]).toEqual([0x3003n, ...Array(511).fill(0n)]);
  });

  test('maps each region to itself with the flags of guest-abi 1.3', () => {
    const layout = layoutOf();
    const words = wordsOf(layout);
    const flags = (address: number) => leafOf(words, address) ^ BigInt(address);
    expect(flags(0x0000)).toBe(NO_EXECUTE | 3n);
    expect(flags(0x4000)).toBe(NO_EXECUTE | 3n);
    expect(flags(layout.code.address)).toBe(7n);
    expect(flags(0x104000)).toBe(7n);
    for (const part of [layout.peb, layout.input, layout.output])
      expect(flags(part.address)).toBe(NO_EXECUTE | 3n);
    expect(flags(layout.hostFunctions.address)).toBe(NO_EXECUTE | 1n);
    for (const part of [layout.heap, layout.guard, layout.stack])
      expect(flags(part.address)).toBe(NO_EXECUTE | 7n);
  });

  test('keeps the address of what no region has, not present', () => {
    const words = wordsOf(layoutOf());
    expect(leafOf(words, 0x140000)).toBe(0x140000n);
    expect(leafOf(words, 0x1ff000)).toBe(0x1ff000n);
  });

  test.each([
    [Rights.READ, NO_EXECUTE | 1n],
    [Rights.READ | Rights.WRITE, NO_EXECUTE | 3n],
    [Rights.READ | Rights.EXECUTE, 5n],
    [Rights.READ | Rights.WRITE | Rights.EXECUTE, 7n],
  ])('maps init data of rights %i as those allow', (rights, flags) => {
    const layout = layoutOf(rights);
    const { address } = layout.initData;
    expect(leafOf(wordsOf(layout), address)).toBe(BigInt(address) | flags);
  });

  test('has a table for each 2 MiB of guest memory, in the area that the layout keeps for them', () => {
    const layout = layoutOf(undefined, 0x700000);
    const words = wordsOf(layout);
    const tables = Math.ceil(layout.memoryBytes / 2 ** 21);
    expect(words).toHaveLength((3 + tables) * 512);
    expect(words.byteLength).toBeLessThanOrEqual(layout.pageTables.lengthBytes);
    for (let page = layout.code.address; page < layout.code.address + 0x700000; page += 4096)
      expect(leafOf(words, page)).toBe(BigInt(page) | 7n);
    expect(words[1024 + tables]).toBe(0n);
  });
});
