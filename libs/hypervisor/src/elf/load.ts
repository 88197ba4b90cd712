import type { MemoryWrite } from '../driver.js';
import { R_X86_64_NONE, relocationsOf, segmentHolding } from './dynamic.js';
import type { ElfImage } from './elf-image.js';

/**
 * The stores that put an image into zeroed guest memory, relocations applied (guest-abi 2.2, 2.3): a copy of each
 * segment's file bytes. What a segment has beyond them is zero already.
 */
export function loadElf(image: ElfImage, loadAddress: number): MemoryWrite[] {
  const copies = image.segments.map((segment) => ({
    segment,
    // A copy also of a Buffer, whose own `slice` is none.
    bytes: new Uint8Array(image.bytes.subarray(segment.fileOffset, segment.fileOffset + segment.fileBytes)),
  }));
  if (image.relocations) {
    const file = new DataView(image.bytes.buffer, image.bytes.byteOffset, image.bytes.byteLength);
    const views = new Map(
      copies.map(({ segment, bytes }) => [segment, new DataView(bytes.buffer, 0, bytes.byteLength)]),
    );
    const base = BigInt(loadAddress);
    for (const { type, address, addend } of relocationsOf(file, image.relocations)) {
      if (type === R_X86_64_NONE) continue;
      const segment = segmentHolding(image.segments, address, 8);
      // setBigUint64 takes the value modulo 2^64, as the reference's wrapping addition does.
      if (segment) views.get(segment)?.setBigUint64(address - segment.address, base + addend, true);
    }
  }
  return copies
    .filter(({ bytes }) => bytes.byteLength > 0)
    .map(({ segment, bytes }) => ({ address: loadAddress + segment.address, bytes }));
}
