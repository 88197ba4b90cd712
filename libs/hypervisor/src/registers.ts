/** x86-64 registers besides the general ones, in the terms of the architecture: the same for every hypervisor. */

export interface SegmentRegister {
  readonly base: bigint;
  /** In bytes, after granularity. */
  readonly limit: number;
  readonly selector: number;
  /** 4 bits: of code, data or system segment (Intel SDM vol. 3, 3.4.5.1 and 3.5). */
  readonly type: number;
  readonly present: boolean;
  readonly privilegeLevel: number;
  /** Code or data segment, as opposed to a system segment. */
  readonly codeOrData: boolean;
  readonly longMode: boolean;
  readonly defaultBig: boolean;
  readonly granularity: boolean;
  readonly available: boolean;
}

export interface DescriptorTable {
  readonly base: bigint;
  readonly limit: number;
}

export interface SpecialRegisters {
  readonly cs: SegmentRegister;
  readonly ds: SegmentRegister;
  readonly es: SegmentRegister;
  readonly fs: SegmentRegister;
  readonly gs: SegmentRegister;
  readonly ss: SegmentRegister;
  readonly tr: SegmentRegister;
  readonly ldt: SegmentRegister;
  readonly gdt: DescriptorTable;
  readonly idt: DescriptorTable;
  readonly cr0: bigint;
  readonly cr2: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly cr8: bigint;
  readonly efer: bigint;
}

const NO_SEGMENT: SegmentRegister = {
  base: 0n,
  limit: 0,
  selector: 0,
  type: 0,
  present: false,
  privilegeLevel: 0,
  codeOrData: false,
  longMode: false,
  defaultBig: false,
  granularity: false,
  available: false,
};
const NO_TABLE: DescriptorTable = { base: 0n, limit: 0 };
const BUSY_TASK: SegmentRegister = { ...NO_SEGMENT, limit: 0xffff, type: 11, present: true };
const ACCESSED_CODE = 11;
const ACCESSED_DATA = 3;

/**
 * What a guest of the reference finds in its special registers at its first entry: 64-bit mode with page tables at
 * address 0 (guest-abi 4.1), or the start without paging, which is like real mode (guest-abi 4.2).
 */
export function initialSpecialRegisters(options: { readonly paging: boolean }): SpecialRegisters {
  const code = { ...NO_SEGMENT, type: ACCESSED_CODE, present: true, codeOrData: true };
  const rest = {
    es: NO_SEGMENT,
    fs: NO_SEGMENT,
    gs: NO_SEGMENT,
    ss: NO_SEGMENT,
    ldt: NO_SEGMENT,
    tr: BUSY_TASK,
    gdt: NO_TABLE,
    idt: NO_TABLE,
    cr2: 0n,
    cr3: 0n,
    cr8: 0n,
  };
  if (options.paging)
    return {
      ...rest,
      cs: { ...code, longMode: true },
      ds: NO_SEGMENT,
      cr0: 0x8005_0033n,
      cr4: 0x620n,
      efer: 0xd01n,
    };
  return {
    ...rest,
    cs: { ...code, limit: 0xffff },
    ds: { ...code, type: ACCESSED_DATA, limit: 0xffff },
    cr0: 0n,
    cr4: 0n,
    efer: 0n,
  };
}

const GRANULE_BYTES = 0x1000;

/** The 8-byte descriptor of a code or data segment (Intel SDM vol. 3, 3.4.5). Base: the lower 32 bits. */
export function segmentDescriptor(segment: SegmentRegister): bigint {
  const limit = BigInt(segment.granularity ? Math.floor(segment.limit / GRANULE_BYTES) : segment.limit);
  const bit = (value: boolean, at: bigint) => (value ? 1n << at : 0n);
  return (
    (limit & 0xffffn) |
    ((segment.base & 0xff_ffffn) << 16n) |
    (BigInt(segment.type & 15) << 40n) |
    bit(segment.codeOrData, 44n) |
    (BigInt(segment.privilegeLevel & 3) << 45n) |
    bit(segment.present, 47n) |
    (((limit >> 16n) & 15n) << 48n) |
    bit(segment.available, 52n) |
    bit(segment.longMode, 53n) |
    bit(segment.defaultBig, 54n) |
    bit(segment.granularity, 55n) |
    (((segment.base >> 24n) & 0xffn) << 56n)
  );
}

/** What loading `selector` with this descriptor puts into a segment register. */
export function segmentOf(descriptor: bigint, selector: number): SegmentRegister {
  const bits = (at: bigint, count: bigint) => (descriptor >> at) & ((1n << count) - 1n);
  const bit = (at: bigint) => bits(at, 1n) === 1n;
  const limit = Number(bits(0n, 16n) | (bits(48n, 4n) << 16n));
  const granularity = bit(55n);
  return {
    base: bits(16n, 24n) | (bits(56n, 8n) << 24n),
    limit: granularity ? limit * GRANULE_BYTES + GRANULE_BYTES - 1 : limit,
    selector,
    type: Number(bits(40n, 4n)),
    codeOrData: bit(44n),
    privilegeLevel: Number(bits(45n, 2n)),
    present: bit(47n),
    available: bit(52n),
    longMode: bit(53n),
    defaultBig: bit(54n),
    granularity,
  };
}
