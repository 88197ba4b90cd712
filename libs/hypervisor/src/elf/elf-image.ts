/** One PT_LOAD: where its bytes stand in the file and in the image. */
export interface ElfSegment {
  readonly fileOffset: number;
  readonly fileBytes: number;
  /** Offset in the image, which starts at virtual address 0. */
  readonly address: number;
  /** At least `fileBytes`; the rest is zero. */
  readonly memoryBytes: number;
}

/** Where a table of `Elf64_Rela` stands in the file. */
export interface RelocationTable {
  readonly fileOffset: number;
  readonly count: number;
}

/** A guest binary that was checked: every number in it is in bounds of `bytes` and of the image. */
export interface ElfImage {
  /** The file itself, not a copy. */
  readonly bytes: Uint8Array;
  /** `e_entry`; the guest starts at the load address plus this (guest-abi 2.3). */
  readonly entry: number;
  /** Size of the image in memory, not rounded: the `code_size` of guest-abi 2.3. */
  readonly imageBytes: number;
  /** Ascending, not overlapping; the first one starts at 0. */
  readonly segments: readonly ElfSegment[];
  readonly relocations: RelocationTable | undefined;
}
