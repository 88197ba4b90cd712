import type { GuestLayout, LayoutPart } from './layout.js';
import { PEB_BYTES } from './layout.js';

/** Where the guest publishes the address of its dispatch function (guest-abi 3). */
export const DISPATCH_POINTER_OFFSET = 0x08;

/** The process environment block of guest-abi 3, dispatch pointer 0. Every pair is size first, then address. */
export function encodePeb(layout: GuestLayout, cookieSeed: bigint): Uint8Array {
  const bytes = new Uint8Array(PEB_BYTES);
  const view = new DataView(bytes.buffer);
  const u64 = (offset: number, value: number) => view.setBigUint64(offset, BigInt(value), true);
  const pair = (offset: number, part: LayoutPart) => {
    u64(offset, part.lengthBytes);
    u64(offset + 8, part.address);
  };
  view.setBigUint64(0x00, cookieSeed, true);
  u64(0x10, layout.code.address);
  pair(0x18, layout.input);
  pair(0x28, layout.output);
  pair(0x38, layout.initData);
  pair(0x48, layout.heap);
  u64(0x58, layout.stack.address);
  // The end of the stack itself, also where init data lies behind it: there the reference is off (guest-abi 3).
  u64(0x60, layout.stack.address + layout.stack.lengthBytes);
  pair(0x68, layout.hostFunctions);
  return bytes;
}
