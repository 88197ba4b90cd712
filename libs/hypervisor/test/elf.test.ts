import { isMayflyError, LIMITS } from '@mayfly/contracts';
import { describe, expect, test } from 'vitest';
import { checkElf } from '../src/elf/index.js';
import { loadElf } from '../src/elf/load.js';
import { type BuiltElf, buildElf } from '../src/testing/elf-builder.js';

const relocations = [{ address: 300, addend: 0x123n }];
const code = new Uint8Array(64).fill(0x90);

/** Builds a valid image, lets `change` break it, and returns the code of the refusal. */
function refusal(change: (view: DataView, elf: BuiltElf) => void): string | undefined {
  const elf = buildElf({ code, relocations });
  change(new DataView(elf.bytes.buffer), elf);
  try {
    checkElf(elf.bytes);
    return undefined;
  } catch (error) {
    if (!isMayflyError(error)) throw error;
    expect(error.definition.status).toBe(422);
    return error.code;
  }
}

const u16 = (at: number, value: number) => (view: DataView) => view.setUint16(at, value, true);
const u32 = (at: number, value: number) => (view: DataView) => view.setUint32(at, value, true);
const u64 = (at: number, value: bigint) => (view: DataView) => view.setBigUint64(at, value, true);
const HUGE = 0xffff_ffff_ffff_ffffn;

describe('loadElf', () => {
  test('relocates a second segment of an image in a Buffer, and leaves the file as it is', () => {
    const { bytes } = buildElf({ code, relocations });
    const file = Buffer.from(bytes);
    const image = checkElf(file);
    const split = 256;
    const part = (address: number, end: number) => ({
      fileOffset: address,
      fileBytes: end - address,
      address,
      memoryBytes: end - address,
    });
    const segments = [part(0, split), part(split, bytes.byteLength)];
    const [, second] = loadElf({ ...image, segments }, 0x5000);
    const relocated = Buffer.from(second?.bytes ?? []).readBigUInt64LE(300 - split);
    expect([second?.address, relocated]).toEqual([0x5000 + split, 0x5000n + 0x123n]);
    expect(file.equals(bytes)).toBe(true);
  });
});

describe('checkElf', () => {
  test('accepts a static PIE and reports entry, size and segments', () => {
    const { bytes, codeOffset, relaOffset } = buildElf({ code, relocations, zeroBytes: 5000 });
    expect(checkElf(bytes)).toEqual({
      bytes,
      entry: codeOffset,
      imageBytes: bytes.byteLength + 5000,
      segments: [
        {
          fileOffset: 0,
          fileBytes: bytes.byteLength,
          address: 0,
          memoryBytes: bytes.byteLength + 5000,
        },
      ],
      relocations: { fileOffset: relaOffset, count: 1 },
    });
  });

  test('reads a file that is a view into a larger buffer', () => {
    const { bytes, codeOffset } = buildElf({ code });
    const larger = new Uint8Array(bytes.byteLength + 11);
    larger.set(bytes, 7);
    expect(checkElf(larger.subarray(7, 7 + bytes.byteLength)).entry).toBe(codeOffset);
  });

  const table: [string, (view: DataView, elf: BuiltElf) => void, string][] = [
    ['another magic number', u32(0, 0), 'FORMAT'],
    ['ELFCLASS32', (view) => view.setUint8(4, 1), 'CLASS'],
    ['big-endian', (view) => view.setUint8(5, 2), 'CLASS'],
    ['ident version 0', (view) => view.setUint8(6, 0), 'HEADER'],
    ['version 2', u32(20, 2), 'HEADER'],
    ['an AArch64 machine', u16(18, 183), 'MACHINE'],
    ['ET_EXEC', u16(16, 2), 'TYPE'],
    ['ET_REL', u16(16, 1), 'TYPE'],
    ['no program header', u16(56, 0), 'SEGMENT'],
    ['65,535 program headers', u16(56, 0xffff), 'HEADER'],
    ['program headers of another size', u16(54, 32), 'HEADER'],
    ['a program header table past the end', u64(32, 0x1_0000n), 'HEADER'],
    ['a program header table at 2^64-1', u64(32, HUGE), 'HEADER'],
    ['no PT_LOAD', u32(64, 4), 'SEGMENT'],
    ['an entry point of 0', u64(24, 0n), 'ENTRY'],
    ['an entry point past the image', u64(24, 0x1_0000n), 'ENTRY'],
    ['an entry point at 2^64-1', u64(24, HUGE), 'ENTRY'],
    ['a segment that ends past the file', u64(64 + 32, 0x1_0000n), 'SEGMENT'],
    ['a segment at file offset 2^64-1', u64(64 + 8, HUGE), 'SEGMENT'],
    ['a file size of 2^64-1', u64(64 + 32, HUGE), 'SEGMENT'],
    ['a memory size below the file size', u64(64 + 40, 8n), 'SEGMENT'],
    ['a memory size of 2 GiB', u64(64 + 40, 0x8000_0000n), 'TOO_LARGE'],
    ['a memory size of 2^64-1', u64(64 + 40, HUGE), 'TOO_LARGE'],
    ['a first segment at 4096', u64(64 + 16, 0x1000n), 'BASE'],
    ['a first segment at 2 MiB', u64(64 + 16, 0x20_0000n), 'BASE'],
    [
      'two segments at the same address',
      (view, elf) => view.setUint32(elf.dynamicHeader, 1, true),
      'SEGMENT',
    ],
    ['two dynamic sections', (view, elf) => view.setUint32(elf.loadHeader, 2, true), 'DYNAMIC'],
    [
      'a dynamic section past the file',
      (view, elf) => u64(elf.dynamicHeader + 8, 0x1_0000n)(view),
      'SEGMENT',
    ],
    ['a needed library', (view, elf) => u64(elf.dynamicOffset, 1n)(view), 'DYNAMIC'],
    ['packed relative relocations', (view, elf) => u64(elf.dynamicOffset, 36n)(view), 'RELOCATION'],
    [
      'a relocation table outside the image',
      (view, elf) => u64(elf.dynamicOffset + 8, 0x10_0000n)(view),
      'DYNAMIC',
    ],
    [
      'a relocation table of 2^64-1 bytes',
      (view, elf) => u64(elf.dynamicOffset + 24, HUGE)(view),
      'RELOCATION',
    ],
    ['a relocation table of 25 bytes', (view, elf) => u64(elf.dynamicOffset + 24, 25n)(view), 'RELOCATION'],
    [
      'a million and more relocations',
      (view, elf) => u64(elf.dynamicOffset + 24, 24n * 1_000_001n)(view),
      'RELOCATION',
    ],
    ['relocation entries of 16 bytes', (view, elf) => u64(elf.dynamicOffset + 40, 16n)(view), 'RELOCATION'],
    ['a relocation past the image', (view, elf) => u64(elf.relaOffset, 0x10_0000n)(view), 'RELOCATION'],
    ['a relocation at 2^64-1', (view, elf) => u64(elf.relaOffset, HUGE)(view), 'RELOCATION'],
    ['a JUMP_SLOT relocation', (view, elf) => u32(elf.relaOffset + 8, 7)(view), 'RELOCATION'],
    [
      'a RELATIVE relocation without addend',
      (view, elf) => {
        u64(elf.dynamicOffset, 17n)(view);
        u64(elf.dynamicOffset + 16, 18n)(view);
        u64(elf.dynamicOffset + 24, 16n)(view);
      },
      'RELOCATION',
    ],
  ];
  test.each(table)('refuses %s', (_name, change, area) => {
    expect(refusal(change)).toBe(`MAYFLY_ERR_ELF_${area}`);
  });

  test.each([
    ['nothing', new Uint8Array(0)],
    ['a text', Buffer.from('#!/bin/sh\necho hello\n')],
  ])('refuses %s by name', (_name, bytes) => {
    expect(() => checkElf(bytes)).toThrow(expect.objectContaining({ code: 'MAYFLY_ERR_ELF_FORMAT' }));
  });

  test.each([undefined, null, 'elf', [127, 69, 76, 70], new ArrayBuffer(100)])(
    'refuses %j as bytes',
    (value) => {
      expect(() => checkElf(value as never)).toThrow(
        expect.objectContaining({ code: 'MAYFLY_ERR_ELF_FORMAT' }),
      );
    },
  );

  test('refuses every truncation of a valid file by name', () => {
    const { bytes } = buildElf({ code, relocations });
    for (let length = 0; length < bytes.byteLength; length++)
      expect(() => checkElf(bytes.subarray(0, length))).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^MAYFLY_ERR_ELF_/) }),
      );
  });

  test('refuses a file above the artifact limit without reading it', () => {
    expect(() => checkElf(new Uint8Array(LIMITS.artifactBytes + 1))).toThrow(
      expect.objectContaining({ code: 'MAYFLY_ERR_ELF_TOO_LARGE' }),
    );
  });

  test('answers random mutations with an image or a named error', () => {
    const { bytes } = buildElf({ code, relocations });
    const until = Date.now() + 2000;
    for (let round = 0; round < 100_000 && Date.now() < until; round++) {
      const mutant = bytes.slice();
      for (let change = 0; change < 1 + (round % 4); change++)
        mutant[Math.floor(Math.random() * mutant.byteLength)] = Math.floor(Math.random() * 256);
      try {
        const image = checkElf(mutant);
        if (image.imageBytes < 1 << 20) loadElf(image, 0x5000);
      } catch (error) {
        if (!isMayflyError(error))
          throw new Error(`mutant ${Buffer.from(mutant).toString('hex')}`, { cause: error });
        expect(error.code).toMatch(/^MAYFLY_ERR_ELF_/);
      }
    }
  });
});

describe('loadElf', () => {
  test('places a copy of the bytes at the load address and adds it to relocated words', () => {
    const { bytes } = buildElf({ code, relocations });
    const [write, ...rest] = loadElf(checkElf(bytes), 0x5000);
    expect(rest).toEqual([]);
    expect(write?.address).toBe(0x5000);
    const loaded = write?.bytes as Uint8Array;
    expect(new DataView(loaded.buffer).getBigUint64(300, true)).toBe(0x5123n);
    expect(loaded.subarray(0, 300)).toEqual(bytes.subarray(0, 300));
    expect(bytes[300]).toBe(0x90);
  });

  test('skips relocations of type NONE and wraps negative addends', () => {
    const { bytes } = buildElf({
      code,
      relocations: [
        { address: 290, addend: 7n, type: 0 },
        { address: 310, addend: -0x5001n },
      ],
    });
    const [write] = loadElf(checkElf(bytes), 0x5000);
    const view = new DataView(write?.bytes.buffer as ArrayBuffer);
    expect(view.getBigUint64(310, true)).toBe(HUGE);
    expect(view.getUint8(291)).toBe(0x90);
  });
});
