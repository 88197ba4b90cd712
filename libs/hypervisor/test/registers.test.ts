import { REGISTER_NAMES } from '@mayfly/native';
import { describe, expect, test } from 'vitest';
import {
  fpuStateOf,
  fxsaveImage,
  GENERAL_REGISTERS,
  initialSpecialRegisters,
  resetFpuState,
  segmentDescriptor,
  segmentOf,
} from '../src/index.js';

describe('special registers', () => {
  test('with paging are those of guest-abi 4.1', () => {
    const { cr0, cr3, cr4, efer, cs, tr, ds } = initialSpecialRegisters({ paging: true });
    expect([cr0, cr3, cr4, efer]).toEqual([0x80050033n, 0n, 0x620n, 0xd01n]);
    expect(cs).toMatchObject({ type: 11, present: true, codeOrData: true, longMode: true, limit: 0 });
    expect(tr).toMatchObject({ type: 11, present: true, codeOrData: false, limit: 0xffff });
    expect(ds.present).toBe(false);
  });

  test('without paging are those of guest-abi 4.2', () => {
    const { cr0, cr4, efer, cs, ds, ss } = initialSpecialRegisters({ paging: false });
    expect([cr0, cr4, efer]).toEqual([0n, 0n, 0n]);
    expect(cs).toMatchObject({ type: 11, limit: 0xffff, present: true, longMode: false });
    expect(ds).toMatchObject({ type: 3, limit: 0xffff, present: true });
    expect(ss.present).toBe(false);
  });
});

describe('a segment descriptor', () => {
  // The flat descriptors that Linux has in its GDT.
  test.each([
    ['64-bit code', 0x00af_9b00_0000_ffffn, { longMode: true, type: 11, privilegeLevel: 0 }],
    ['data', 0x00cf_9300_0000_ffffn, { longMode: false, type: 3, limit: 0xffff_ffff, defaultBig: true }],
    ['user code', 0x00af_fb00_0000_ffffn, { privilegeLevel: 3, longMode: true }],
    ['with a base', 0x1240_9234_5678_0fffn, { base: 0x12345678n, limit: 0xfff, granularity: false }],
  ])('of %s is read, and written as it was', (_name, descriptor, expected) => {
    const segment = segmentOf(descriptor, 0x10);
    expect(segment).toMatchObject({ ...expected, selector: 0x10, present: true, codeOrData: true });
    expect(segmentDescriptor(segment)).toBe(descriptor);
  });
});

describe('the FPU state', () => {
  test('after a reset is that of guest-abi 4.3', () => {
    const image = Buffer.from(fxsaveImage(resetFpuState()));
    expect([image.readUInt16LE(0), image.readUInt32LE(24)]).toEqual([0x37f, 0x1f80]);
    image.fill(0, 0, 2).fill(0, 24, 28);
    expect(image.every((byte) => byte === 0)).toBe(true);
  });

  test('goes into an image and comes back', () => {
    const state = {
      st: Array.from({ length: 8 }, (_, i) => new Uint8Array(10).fill(i + 1)),
      xmm: Array.from({ length: 16 }, (_, i) => new Uint8Array(16).fill(0x40 + i)),
      controlWord: 0xc7f,
      statusWord: 0x3800,
      tagWord: 0xff,
      lastOpcode: 0x1d9,
      lastInstruction: 2n ** 64n - 1n,
      lastOperand: 0x1234n,
      mxcsr: 0xffc0,
    };
    expect(fpuStateOf(fxsaveImage(state))).toEqual(state);
  });

  test('of a short image is refused by name', () => {
    expect(() => fpuStateOf(new Uint8Array(511))).toThrow(
      expect.objectContaining({ code: 'MAYFLY_ERR_VM_RANGE' }),
    );
  });
});

test('the library names the general registers in the order of the core', () => {
  expect(GENERAL_REGISTERS).toEqual(REGISTER_NAMES);
});
