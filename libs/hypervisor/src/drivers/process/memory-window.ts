import type { AddressRange } from '../../driver.js';

/**
 * Guest memory that came with an answer: reads of it need not cross to the cell. It holds while the guest stands, with
 * the stores that the host makes meanwhile.
 */
export class MemoryWindow {
  readonly #bytes: Uint8Array;
  readonly #ranges: readonly AddressRange[];

  /** @param ranges of guest memory, whose bytes lie one after the other */
  constructor(bytes: Uint8Array, ranges: readonly AddressRange[]) {
    this.#bytes = bytes;
    this.#ranges = ranges;
  }

  /** A copy; undefined where the window does not hold all of it. */
  read(address: number, lengthBytes: number): Uint8Array | undefined {
    let offset = 0;
    for (const range of this.#ranges) {
      const skip = address - range.address;
      if (skip >= 0 && skip + lengthBytes <= range.lengthBytes)
        return this.#bytes.slice(offset + skip, offset + skip + lengthBytes);
      offset += range.lengthBytes;
    }
    return undefined;
  }

  /** A store into guest memory, of which the window may hold a part. */
  write(address: number, bytes: Uint8Array): void {
    let offset = 0;
    for (const range of this.#ranges) {
      const from = Math.max(address, range.address);
      const to = Math.min(address + bytes.byteLength, range.address + range.lengthBytes);
      if (from < to)
        this.#bytes.set(bytes.subarray(from - address, to - address), offset + from - range.address);
      offset += range.lengthBytes;
    }
  }
}
