import { LIMITS } from '@mayfly/contracts';
import { describe, expect, test } from 'vitest';
import { Rights } from '../src/driver.js';
import { layoutMemory } from '../src/memory/layout.js';
import { encodePeb } from '../src/memory/peb.js';
import { resolveMemory } from '../src/memory/sizes.js';

const memory = { heapBytes: 0x20000, stackBytes: 0x10000, inputBytes: 0x4000, outputBytes: 0x4000 };
const worked = () => layoutMemory({ imageBytes: 0x100000, memory, hostFunctionsBytes: 0x1000 });

describe('layoutMemory', () => {
  test('lays out the worked example of guest-abi Appendix A to the byte', () => {
    const layout = worked();
    expect(layout.regions.map(({ address, lengthBytes }) => [address, address + lengthBytes])).toEqual([
      [0x5000, 0x105000],
      [0x105000, 0x106000],
      [0x106000, 0x107000],
      [0x107000, 0x10b000],
      [0x10b000, 0x10f000],
      [0x10f000, 0x12f000],
      [0x12f000, 0x130000],
      [0x130000, 0x140000],
    ]);
    expect(layout.pageTables).toEqual({ address: 0, lengthBytes: 0x5000 });
    expect(layout.memoryBytes).toBe(0x140000);
    expect(layout.stackPointer).toBe(0x13ffd8);
  });

  test('gives each region the rights of guest-abi 1.1', () => {
    const { READ, WRITE, EXECUTE, STACK_GUARD } = Rights;
    expect(worked().regions.map(({ rights }) => rights)).toEqual([
      READ | WRITE | EXECUTE,
      READ | WRITE,
      READ,
      READ | WRITE,
      READ | WRITE,
      READ | WRITE,
      READ | STACK_GUARD,
      READ | WRITE,
    ]);
  });

  test('rounds regions up to pages and keeps the sizes that the guest is told', () => {
    const layout = layoutMemory({
      imageBytes: 1,
      memory: { heapBytes: 5000, stackBytes: 1, inputBytes: 0x2001, outputBytes: 0x2fff },
      hostFunctionsBytes: 4097,
    });
    expect(layout.regions.map(({ lengthBytes }) => lengthBytes / 4096)).toEqual([1, 1, 2, 3, 3, 2, 1, 1]);
    expect(layout.heap.lengthBytes).toBe(5000);
    expect(layout.input.lengthBytes).toBe(0x2001);
    expect(layout.stack.lengthBytes).toBe(4096);
  });

  test('counts the guard page in the page-table area', () => {
    // Without the guard page the regions would end exactly at a 2 MiB boundary of the sum.
    const imageBytes = 0x20_0000 - 0x3000 - 0x3a000;
    const { pageTables } = layoutMemory({ imageBytes, memory, hostFunctionsBytes: 0x1000 });
    expect(pageTables.lengthBytes).toBe(6 * 4096);
  });

  test('refuses more than 1 GiB', () => {
    expect(() =>
      layoutMemory({ imageBytes: LIMITS.guestMemoryBytes, memory, hostFunctionsBytes: 0x1000 }),
    ).toThrow(expect.objectContaining({ code: 'MAYFLY_ERR_MEMORY_TOO_BIG' }));
  });
});

test('encodePeb writes the fields of guest-abi 3, size before address', () => {
  const peb = encodePeb(worked(), 0x1122334455667788n);
  const view = new DataView(peb.buffer);
  const words = Array.from({ length: 15 }, (_, index) => view.getBigUint64(index * 8, true));
  expect(peb.byteLength).toBe(120);
  expect(words).toEqual(
    [
      0x1122334455667788n,
      0,
      0x5000,
      0x4000,
      0x107000,
      0x4000,
      0x10b000,
      0,
      0x140000,
      0x20000,
      0x10f000,
      0x130000,
      0x140000,
      0x1000,
      0x106000,
    ].map(BigInt),
  );
});

describe('resolveMemory', () => {
  test('applies defaults and raises small buffers', () => {
    expect(resolveMemory()).toEqual({
      heapBytes: 1 << 20,
      stackBytes: 1 << 16,
      inputBytes: 1 << 20,
      outputBytes: 1 << 20,
    });
    expect(resolveMemory({ inputBytes: 1, outputBytes: 100, heapBytes: 1 })).toMatchObject({
      inputBytes: 0x2000,
      outputBytes: 0x2000,
      heapBytes: 1,
    });
  });

  const names = ['heapBytes', 'stackBytes', 'inputBytes', 'outputBytes'] as const;
  const values = [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '4096', {}];
  test.each(names.flatMap((name) => values.map((value) => [name, value] as const)))(
    'refuses %s of %s',
    (name, value) => {
      expect(() => resolveMemory({ [name]: value as number })).toThrow(
        expect.objectContaining({ code: 'MAYFLY_ERR_SANDBOX_OPTIONS' }),
      );
    },
  );

  test.each(names)('takes %s up to 1 GiB, and no more', (name) => {
    expect(resolveMemory({ [name]: LIMITS.guestMemoryBytes })[name]).toBe(LIMITS.guestMemoryBytes);
    expect(() => resolveMemory({ [name]: LIMITS.guestMemoryBytes + 1 })).toThrow(
      expect.objectContaining({ code: 'MAYFLY_ERR_SANDBOX_OPTIONS' }),
    );
  });
});
