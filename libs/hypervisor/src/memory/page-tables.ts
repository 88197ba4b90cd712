import { type PlannedRegion, Rights } from '../driver.js';
import { type GuestLayout, PAGE_BYTES } from './layout.js';

const ENTRIES = 512;
const ENTRY_BYTES = 8;
/** What a page table covers. */
const TABLE_SPAN_BYTES = ENTRIES * PAGE_BYTES;
// PML4, PDPT and PD are the first three pages (guest-abi 1.2).
const DIRECTORY_POINTERS = 1 * PAGE_BYTES;
const DIRECTORY = 2 * PAGE_BYTES;
const FIRST_TABLE = 3 * PAGE_BYTES;

const PRESENT = 1n;
const WRITABLE = 2n;
const USER = 4n;
const NO_EXECUTE = 1n << 63n;

/**
 * The page tables that a guest built for ring 0 believes in: the identity map of guest-abi 1.3, as plain data for guest
 * address 0. The real ones are the driver's.
 *
 * One difference from the reference, which guest-abi 1.3 leaves open: directory entries of tables that do not exist are
 * not present. There they point into the guest's code, and a wild pointer reads code as page tables.
 */
export function encodePageTables(layout: GuestLayout): Uint8Array {
  const tables = Math.ceil(layout.memoryBytes / TABLE_SPAN_BYTES);
  const bytes = new Uint8Array(FIRST_TABLE + tables * PAGE_BYTES);
  const view = new DataView(bytes.buffer);
  const set = (address: number, entry: bigint) => view.setBigUint64(address, entry, true);
  set(0, BigInt(DIRECTORY_POINTERS) | PRESENT | WRITABLE);
  set(DIRECTORY_POINTERS, BigInt(DIRECTORY) | PRESENT | WRITABLE);
  for (let table = 0; table < tables; table++)
    set(DIRECTORY + table * ENTRY_BYTES, BigInt(FIRST_TABLE + table * PAGE_BYTES) | PRESENT | WRITABLE);

  const entryOf = (address: number) => FIRST_TABLE + (address / PAGE_BYTES) * ENTRY_BYTES;
  const fill = (address: number, lengthBytes: number, flags: bigint) => {
    for (let page = address; page < address + lengthBytes; page += PAGE_BYTES)
      set(entryOf(page), BigInt(page) | flags);
  };
  // An address that no region has keeps its bits, not present.
  fill(0, tables * TABLE_SPAN_BYTES, 0n);
  fill(0, layout.pageTables.lengthBytes, PRESENT | WRITABLE | NO_EXECUTE);
  for (const region of layout.regions) fill(region.address, region.lengthBytes, flagsOf(region, layout));
  return bytes;
}

/** The table of guest-abi 1.3. All upper levels lack the user bit, so the ones here are the reference's habit only. */
function flagsOf(region: PlannedRegion, layout: GuestLayout): bigint {
  const { address, rights } = region;
  switch (address) {
    case layout.code.address:
      return PRESENT | WRITABLE | USER;
    case layout.peb.address:
    case layout.input.address:
    case layout.output.address:
      return PRESENT | WRITABLE | NO_EXECUTE;
    case layout.hostFunctions.address:
      return PRESENT | NO_EXECUTE;
    case layout.heap.address:
    case layout.guard.address:
    case layout.stack.address:
      return PRESENT | WRITABLE | USER | NO_EXECUTE;
    default: {
      // Init data: whatever its owner allows.
      const writable = (rights & Rights.WRITE) !== 0 ? WRITABLE : 0n;
      return PRESENT | writable | ((rights & Rights.EXECUTE) !== 0 ? USER : NO_EXECUTE);
    }
  }
}
