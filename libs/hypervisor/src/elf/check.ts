import { LIMITS } from '@mayfly/contracts';
import { checkDynamic } from './dynamic.js';
import type { ElfImage, ElfSegment } from './elf-image.js';
import { readOffset, refuse } from './fields.js';

const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
/** More than any linker writes; the format allows 65,535. */
const MAX_PROGRAM_HEADERS = 64;
const ET_EXEC = 2;
const ET_DYN = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;

/**
 * Reads and checks a guest binary (guest-abi 2). Nothing is allocated by a number of the file.
 *
 * Accepted: 64-bit little-endian x86-64, ET_DYN, first PT_LOAD at address 0, ascending segments, entry point
 * inside the image, only RELATIVE relocations. Stricter than the reference host, which starts an image linked
 * elsewhere at a wrong address and panics on offsets out of range.
 *
 * @param bytes The whole file. Read again when it is loaded: do not change it in between.
 * @throws MAYFLY_ERR_ELF_FORMAT, _TOO_LARGE, _CLASS, _MACHINE, _TYPE, _HEADER, _SEGMENT, _BASE, _ENTRY,
 * _DYNAMIC, _RELOCATION; all of status 422.
 */
export function checkElf(bytes: Uint8Array): ElfImage {
  if (!(bytes instanceof Uint8Array)) refuse('MAYFLY_ERR_ELF_FORMAT', 'the guest binary is not a byte array');
  if (bytes.byteLength > LIMITS.artifactBytes)
    refuse('MAYFLY_ERR_ELF_TOO_LARGE', `${bytes.byteLength} bytes; at most ${LIMITS.artifactBytes}`, {
      limitBytes: LIMITS.artifactBytes,
    });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  checkIdentity(view);
  const { segments, dynamic } = readProgramHeaders(view);
  const last = segments[segments.length - 1];
  if (!last) refuse('MAYFLY_ERR_ELF_SEGMENT', 'ELF must have at least one PT_LOAD header');
  const imageBytes = last.address + last.memoryBytes;
  const entry = readOffset(view, 24);
  if (entry === 0 || entry >= imageBytes)
    refuse('MAYFLY_ERR_ELF_ENTRY', `entry point 0x${entry.toString(16)} is not inside the image`);
  const relocations = dynamic && checkDynamic({ view, segments, dynamic, imageBytes });
  return { bytes, entry, imageBytes, segments, relocations };
}

function checkIdentity(view: DataView): void {
  if (view.byteLength < 4 || view.getUint32(0, false) !== 0x7f454c46)
    refuse('MAYFLY_ERR_ELF_FORMAT', 'the file does not begin with the ELF magic number');
  if (view.byteLength < HEADER_BYTES) refuse('MAYFLY_ERR_ELF_HEADER', 'the file ends inside the ELF header');
  if (view.getUint8(4) !== 2) refuse('MAYFLY_ERR_ELF_CLASS', 'the file is not ELFCLASS64');
  if (view.getUint8(5) !== 1) refuse('MAYFLY_ERR_ELF_CLASS', 'the file is not little-endian');
  if (view.getUint8(6) !== 1 || view.getUint32(20, true) !== 1)
    refuse('MAYFLY_ERR_ELF_HEADER', 'unknown ELF version');
  const machine = view.getUint16(18, true);
  if (machine !== EM_X86_64)
    refuse('MAYFLY_ERR_ELF_MACHINE', `machine ${machine} is not x86-64 (${EM_X86_64})`);
  const type = view.getUint16(16, true);
  if (type === ET_EXEC)
    refuse(
      'MAYFLY_ERR_ELF_TYPE',
      'the file is linked to a fixed address (ET_EXEC); link it as a static PIE (-static-pie)',
    );
  if (type !== ET_DYN)
    refuse('MAYFLY_ERR_ELF_TYPE', `file type ${type} is not a position-independent executable`);
}

function readProgramHeaders(view: DataView): { segments: ElfSegment[]; dynamic: ElfSegment | undefined } {
  const count = view.getUint16(56, true);
  if (count === 0) refuse('MAYFLY_ERR_ELF_SEGMENT', 'ELF must have at least one PT_LOAD header');
  if (count > MAX_PROGRAM_HEADERS)
    refuse('MAYFLY_ERR_ELF_HEADER', `${count} program headers; at most ${MAX_PROGRAM_HEADERS}`);
  if (view.getUint16(54, true) !== PROGRAM_HEADER_BYTES)
    refuse('MAYFLY_ERR_ELF_HEADER', 'program headers are not of 56 bytes');
  const table = readOffset(view, 32);
  if (table > view.byteLength - count * PROGRAM_HEADER_BYTES)
    refuse('MAYFLY_ERR_ELF_HEADER', 'the program headers reach past the end of the file');

  const segments: ElfSegment[] = [];
  let dynamic: ElfSegment | undefined;
  let end = 0;
  let fileBytes = 0;
  for (let index = 0; index < count; index++) {
    const header = table + index * PROGRAM_HEADER_BYTES;
    const type = view.getUint32(header, true);
    if (type !== PT_LOAD && type !== PT_DYNAMIC) continue;
    const segment = readSegment(view, header, index);
    if (type === PT_DYNAMIC) {
      if (dynamic) refuse('MAYFLY_ERR_ELF_DYNAMIC', 'more than one PT_DYNAMIC header');
      dynamic = segment;
      continue;
    }
    if (segments.length === 0 && segment.address !== 0)
      refuse(
        'MAYFLY_ERR_ELF_BASE',
        `the first PT_LOAD is at 0x${segment.address.toString(16)}; guests are linked at address 0`,
      );
    if (segment.address < end)
      refuse('MAYFLY_ERR_ELF_SEGMENT', `segment ${index} overlaps or precedes the one before it`);
    end = segment.address + segment.memoryBytes;
    fileBytes += segment.fileBytes;
    segments.push(segment);
  }
  // Segments that share file bytes would let a small file ask for a large image to be copied.
  if (fileBytes > view.byteLength)
    refuse('MAYFLY_ERR_ELF_SEGMENT', 'the segments hold more bytes than the file');
  return { segments, dynamic };
}

function readSegment(view: DataView, header: number, index: number): ElfSegment {
  const segment: ElfSegment = {
    fileOffset: readOffset(view, header + 8),
    address: readOffset(view, header + 16),
    fileBytes: readOffset(view, header + 32),
    memoryBytes: readOffset(view, header + 40),
  };
  if (segment.fileOffset + segment.fileBytes > view.byteLength)
    refuse('MAYFLY_ERR_ELF_SEGMENT', `segment ${index} reaches past the end of the file`);
  if (segment.memoryBytes < segment.fileBytes)
    refuse('MAYFLY_ERR_ELF_SEGMENT', `segment ${index} is smaller in memory than in the file`);
  if (segment.address + segment.memoryBytes > LIMITS.guestMemoryBytes)
    refuse('MAYFLY_ERR_ELF_TOO_LARGE', `segment ${index} reaches past ${LIMITS.guestMemoryBytes} bytes`, {
      limitBytes: LIMITS.guestMemoryBytes,
    });
  return segment;
}
