import type { ElfSegment, RelocationTable } from './elf-image.js';
import { readOffset, refuse } from './fields.js';

const DT_NULL = 0;
const DT_NEEDED = 1;
const DT_RELA = 7;
const DT_RELASZ = 8;
const DT_RELAENT = 9;
const DT_REL = 17;
const DT_RELSZ = 18;
const DT_RELR = 36;
const DYNAMIC_ENTRY_BYTES = 16;
const RELA_BYTES = 24;
const REL_BYTES = 16;
export const R_X86_64_NONE = 0;
const R_X86_64_RELATIVE = 8;
/** Far above what a binary of the largest size has; keeps a hostile table from holding the event loop. */
const MAX_RELOCATIONS = 1_000_000;
const KNOWN_TAGS: ReadonlySet<number> = new Set([
  DT_NEEDED,
  DT_RELA,
  DT_RELASZ,
  DT_RELAENT,
  DT_REL,
  DT_RELSZ,
  DT_RELR,
]);

/** What a check of the dynamic section looks at. */
export interface DynamicInput {
  readonly view: DataView;
  readonly segments: readonly ElfSegment[];
  /** The PT_DYNAMIC header; its file range is in bounds. */
  readonly dynamic: ElfSegment;
  readonly imageBytes: number;
}

/**
 * Finds the relocation table and checks each entry (guest-abi 2.2). DT_JMPREL is ignored, as the reference does;
 * shared libraries and DT_RELR, which the reference ignores too, are refused: such a guest could only crash.
 */
export function checkDynamic(input: DynamicInput): RelocationTable | undefined {
  const { view, dynamic } = input;
  const tags = new Map<number, number>();
  const end = dynamic.fileOffset + dynamic.fileBytes;
  for (let at = dynamic.fileOffset; at + DYNAMIC_ENTRY_BYTES <= end; at += DYNAMIC_ENTRY_BYTES) {
    const tag = readOffset(view, at);
    if (tag === DT_NULL) break;
    if (KNOWN_TAGS.has(tag)) tags.set(tag, readOffset(view, at + 8));
  }
  if (tags.has(DT_NEEDED))
    refuse('MAYFLY_ERR_ELF_DYNAMIC', 'the binary needs shared libraries; link it statically (-static-pie)');
  if (tags.has(DT_RELR))
    refuse(
      'MAYFLY_ERR_ELF_RELOCATION',
      'packed relative relocations (DT_RELR) are not applied; link without -z pack-relative-relocs',
    );
  checkRel(input, tags);
  return checkRela(input, tags);
}

function checkRela(input: DynamicInput, tags: ReadonlyMap<number, number>): RelocationTable | undefined {
  const sizeBytes = tags.get(DT_RELASZ) ?? 0;
  const address = tags.get(DT_RELA);
  if (sizeBytes === 0 || address === undefined) return undefined;
  if ((tags.get(DT_RELAENT) ?? RELA_BYTES) !== RELA_BYTES || sizeBytes % RELA_BYTES !== 0)
    refuse('MAYFLY_ERR_ELF_RELOCATION', 'the relocation table does not consist of entries of 24 bytes');
  checkCount(sizeBytes / RELA_BYTES);
  const table = { fileOffset: fileOffsetOf(input, address, sizeBytes), count: sizeBytes / RELA_BYTES };
  for (const entry of relocationsOf(input.view, table)) {
    if (entry.type === R_X86_64_NONE) continue;
    if (entry.type !== R_X86_64_RELATIVE)
      refuse('MAYFLY_ERR_ELF_RELOCATION', `unsupported x86_64 relocation ${entry.type}`, {
        type: entry.type,
      });
    if (!segmentHolding(input.segments, entry.address, 8))
      refuse(
        'MAYFLY_ERR_ELF_RELOCATION',
        `relocation at 0x${entry.address.toString(16)} is not in a segment's bytes`,
      );
  }
  return table;
}

/** Entries without addend: NONE is skipped, RELATIVE has no meaning (guest-abi 2.2). */
function checkRel(input: DynamicInput, tags: ReadonlyMap<number, number>): void {
  const sizeBytes = tags.get(DT_RELSZ) ?? 0;
  const address = tags.get(DT_REL);
  if (sizeBytes === 0 || address === undefined) return;
  if (sizeBytes % REL_BYTES !== 0)
    refuse('MAYFLY_ERR_ELF_RELOCATION', 'the relocation table does not consist of entries of 16 bytes');
  checkCount(sizeBytes / REL_BYTES);
  const start = fileOffsetOf(input, address, sizeBytes);
  for (let at = start; at < start + sizeBytes; at += REL_BYTES) {
    const type = input.view.getUint32(at + 8, true);
    if (type === R_X86_64_NONE) continue;
    if (type === R_X86_64_RELATIVE) refuse('MAYFLY_ERR_ELF_RELOCATION', 'R_X86_64_RELATIVE missing addend');
    refuse('MAYFLY_ERR_ELF_RELOCATION', `unsupported x86_64 relocation ${type}`, { type });
  }
}

function checkCount(count: number): void {
  if (count > MAX_RELOCATIONS)
    refuse('MAYFLY_ERR_ELF_RELOCATION', `${count} relocations; at most ${MAX_RELOCATIONS}`);
}

/** One entry of a table of relocations. */
export interface Relocation {
  readonly type: number;
  readonly address: number;
  readonly addend: bigint;
}

/** Walks a table whose range is in bounds of the file. */
export function* relocationsOf(view: DataView, table: RelocationTable): Generator<Relocation> {
  for (let index = 0; index < table.count; index++) {
    const at = table.fileOffset + index * RELA_BYTES;
    yield {
      address: readOffset(view, at),
      type: view.getUint32(at + 8, true),
      addend: view.getBigInt64(at + 16, true),
    };
  }
}

/** The segment whose file bytes hold the whole range. */
export function segmentHolding(
  segments: readonly ElfSegment[],
  address: number,
  lengthBytes: number,
): ElfSegment | undefined {
  return segments.find(
    (segment) => address >= segment.address && address + lengthBytes <= segment.address + segment.fileBytes,
  );
}

function fileOffsetOf(input: DynamicInput, address: number, lengthBytes: number): number {
  const segment = segmentHolding(input.segments, address, lengthBytes);
  if (!segment)
    refuse('MAYFLY_ERR_ELF_DYNAMIC', 'the relocation table is not inside the bytes of one segment');
  return segment.fileOffset + (address - segment.address);
}
