const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const DYNAMIC_ENTRY_BYTES = 16;
const RELA_BYTES = 24;

export interface ElfParts {
  /** Machine code, placed after the headers and tables; the entry point is its first byte. */
  readonly code?: Uint8Array;
  /** Zero bytes after the code, in memory only. @defaultValue 0 */
  readonly zeroBytes?: number;
  /** RELATIVE relocations; `address` is an offset in the image. */
  readonly relocations?: readonly {
    readonly address: number;
    readonly addend: bigint;
    readonly type?: number;
  }[];
}

/** The file and where its parts stand, for tests that change single fields. */
export interface BuiltElf {
  readonly bytes: Uint8Array;
  readonly codeOffset: number;
  /** File offset of the PT_LOAD header; the PT_DYNAMIC header follows it. */
  readonly loadHeader: number;
  readonly dynamicHeader: number;
  readonly dynamicOffset: number;
  readonly relaOffset: number;
}

/** Builds the smallest static PIE that `checkElf` accepts: one PT_LOAD at 0 over the whole file, one PT_DYNAMIC. */
export function buildElf(parts: ElfParts = {}): BuiltElf {
  const code = parts.code ?? Uint8Array.of(0xf4);
  const relocations = parts.relocations ?? [];
  const loadHeader = HEADER_BYTES;
  const dynamicHeader = loadHeader + PROGRAM_HEADER_BYTES;
  const dynamicOffset = dynamicHeader + PROGRAM_HEADER_BYTES;
  const dynamicBytes = 4 * DYNAMIC_ENTRY_BYTES;
  const relaOffset = dynamicOffset + dynamicBytes;
  const codeOffset = relaOffset + relocations.length * RELA_BYTES;
  const bytes = new Uint8Array(codeOffset + code.byteLength);
  const view = new DataView(bytes.buffer);
  const u64 = (at: number, value: number | bigint) => view.setBigUint64(at, BigInt(value), true);

  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 3, true);
  view.setUint16(18, 62, true);
  view.setUint32(20, 1, true);
  u64(24, codeOffset);
  u64(32, loadHeader);
  view.setUint16(52, HEADER_BYTES, true);
  view.setUint16(54, PROGRAM_HEADER_BYTES, true);
  view.setUint16(56, 2, true);

  const segment = (at: number, type: number, offset: number, lengthBytes: number, zeroBytes: number) => {
    view.setUint32(at, type, true);
    view.setUint32(at + 4, 7, true);
    for (const field of [8, 16, 24]) u64(at + field, offset);
    u64(at + 32, lengthBytes);
    u64(at + 40, lengthBytes + zeroBytes);
    u64(at + 48, 0x1000);
  };
  segment(loadHeader, 1, 0, bytes.byteLength, parts.zeroBytes ?? 0);
  segment(dynamicHeader, 2, dynamicOffset, dynamicBytes, 0);

  const tags: [number, number][] = [
    [7, relaOffset],
    [8, relocations.length * RELA_BYTES],
    [9, RELA_BYTES],
    [0, 0],
  ];
  for (const [index, [tag, value]] of tags.entries()) {
    u64(dynamicOffset + index * DYNAMIC_ENTRY_BYTES, tag);
    u64(dynamicOffset + index * DYNAMIC_ENTRY_BYTES + 8, value);
  }
  for (const [index, { address, addend, type }] of relocations.entries()) {
    const at = relaOffset + index * RELA_BYTES;
    u64(at, address);
    view.setUint32(at + 8, type ?? 8, true);
    view.setBigInt64(at + 16, addend, true);
  }
  bytes.set(code, codeOffset);
  return { bytes, codeOffset, loadHeader, dynamicHeader, dynamicOffset, relaOffset };
}
