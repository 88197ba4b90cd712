import { LIMITS, type MemorySizes } from '@mayfly/contracts';
import { type PlannedRegion, Rights } from '../driver.js';
import { hypervisorError } from '../errors.js';

export const PAGE_BYTES = 4096;
/** Size of the PEB in bytes (guest-abi 3). */
export const PEB_BYTES = 120;
/** Distance of the initial stack pointer from the top of the stack (guest-abi 1.5). */
const INITIAL_STACK_GAP_BYTES = 0x28;
const PAGE_TABLE_SPAN_BYTES = 0x20_0000;
/** What the guest ABI counts in the page-table area besides the regions: PML4, PDPT, PD and 512 spare pages. */
const PAGE_TABLE_OVERHEAD_BYTES = (3 + 512) * PAGE_BYTES;

/** A part of guest memory: `lengthBytes` is what was asked for, the region itself is rounded up to pages. */
export interface LayoutPart {
  readonly address: number;
  readonly lengthBytes: number;
}

/** Where everything of a guest is (guest-abi 1.1). Addresses are guest addresses; memory is identity mapped. */
export interface GuestLayout {
  /** Page tables that the guest believes in, from address 0; not present until it asks where they are. */
  readonly pageTables: LayoutPart;
  readonly code: LayoutPart;
  readonly peb: LayoutPart;
  readonly hostFunctions: LayoutPart;
  readonly input: LayoutPart;
  readonly output: LayoutPart;
  readonly heap: LayoutPart;
  readonly guard: LayoutPart;
  readonly stack: LayoutPart;
  /** Behind the stack; `lengthBytes` 0 and no region when there is none. */
  readonly initData: LayoutPart;
  readonly memoryBytes: number;
  /** Stack pointer of every entry. */
  readonly stackPointer: number;
  /** Ascending; what a driver maps. */
  readonly regions: readonly PlannedRegion[];
}

export interface LayoutInput {
  /** Size of the image in memory, above 0. */
  readonly imageBytes: number;
  readonly memory: MemorySizes;
  /** Size of the host function definitions, at least a page. */
  readonly hostFunctionsBytes: number;
  /** Absent: none. */
  readonly initData?: { readonly lengthBytes: number; readonly rights: number } | undefined;
}

/** Rounds up to whole pages. */
export function roundUpToPages(lengthBytes: number): number {
  return Math.ceil(lengthBytes / PAGE_BYTES) * PAGE_BYTES;
}

/**
 * Lays guest memory out as guest-abi 1.1 says; the page-table area counts guard page and init data, too
 * (guest-abi Appendix B). Sizes were checked by `resolveMemory` and `checkElf`.
 *
 * @throws MAYFLY_ERR_MEMORY_TOO_BIG when the whole is larger than 1 GiB.
 */
export function layoutMemory(input: LayoutInput): GuestLayout {
  const { heapBytes, stackBytes, inputBytes, outputBytes } = input.memory;
  const sizes = [
    input.imageBytes,
    PEB_BYTES,
    input.hostFunctionsBytes,
    inputBytes,
    outputBytes,
    heapBytes,
    PAGE_BYTES,
    stackBytes,
    input.initData?.lengthBytes ?? 0,
  ];
  const counted = sizes.reduce((sum, size) => sum + roundUpToPages(size), 0);
  const tablePages = Math.ceil((counted + PAGE_TABLE_OVERHEAD_BYTES) / PAGE_TABLE_SPAN_BYTES) + 3;

  let next = tablePages * PAGE_BYTES;
  const regions: PlannedRegion[] = [];
  const place = (lengthBytes: number, rights: number): LayoutPart => {
    const part = { address: next, lengthBytes };
    regions.push({ address: next, lengthBytes: roundUpToPages(lengthBytes), rights });
    next += roundUpToPages(lengthBytes);
    return part;
  };
  const { READ, WRITE, EXECUTE, STACK_GUARD } = Rights;
  const code = place(input.imageBytes, READ | WRITE | EXECUTE);
  const peb = place(PEB_BYTES, READ | WRITE);
  const hostFunctions = place(input.hostFunctionsBytes, READ);
  const inputPart = place(inputBytes, READ | WRITE);
  const output = place(outputBytes, READ | WRITE);
  const heap = place(heapBytes, READ | WRITE);
  const guard = place(PAGE_BYTES, READ | STACK_GUARD);
  const stack = place(roundUpToPages(stackBytes), READ | WRITE);
  const stackTop = next;
  const initData = input.initData
    ? place(input.initData.lengthBytes, input.initData.rights)
    : { address: stackTop, lengthBytes: 0 };

  if (next > LIMITS.guestMemoryBytes)
    throw hypervisorError(
      'MAYFLY_ERR_MEMORY_TOO_BIG',
      `Memory requested ${next} exceeds maximum size allowed ${LIMITS.guestMemoryBytes}`,
      { details: { memoryBytes: next, limitBytes: LIMITS.guestMemoryBytes } },
    );
  return {
    pageTables: { address: 0, lengthBytes: tablePages * PAGE_BYTES },
    code,
    peb,
    hostFunctions,
    input: inputPart,
    output,
    heap,
    guard,
    stack,
    initData,
    memoryBytes: next,
    stackPointer: stackTop - INITIAL_STACK_GAP_BYTES,
    regions,
  };
}
