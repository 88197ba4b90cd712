import { randomBytes } from 'node:crypto';
import { type MemoryWrite, type PlannedRegion, Rights, type VmPlan } from '../driver.js';
import type { ElfImage } from '../elf/elf-image.js';
import { loadElf } from '../elf/load.js';
import { emptyStack } from './io-stack.js';
import type { GuestLayout } from './layout.js';
import { encodePageTables } from './page-tables.js';
import { encodePeb } from './peb.js';

export const COOKIE_BYTES = 16;

export interface PlanInput {
  readonly image: ElfImage;
  readonly layout: GuestLayout;
  /** Encoded host function definitions; fit their region. */
  readonly hostFunctions: Uint8Array;
  /** 16 random bytes at the lowest stack address (guest-abi 1.5). */
  readonly cookie: Uint8Array;
  /** Fits its part of the layout; absent where that is empty. */
  readonly initData?: Uint8Array | undefined;
  /** @defaultValue 'user' */
  readonly privilege?: VmPlan['privilege'];
}

/**
 * Everything a driver needs to build the guest's VM: regions and bytes (guest-abi 1, 3). Every guest of the guest ABI may
 * be built for ring 0, as the reference runs them, and finds there what ring 0 would have: `VmPlan.ring0`.
 */
export function planVm({
  image,
  layout,
  hostFunctions,
  cookie,
  initData,
  privilege = 'user',
}: PlanInput): VmPlan {
  const load: MemoryWrite[] = [
    { address: layout.pageTables.address, bytes: encodePageTables(layout) },
    ...loadElf(image, layout.code.address),
    { address: layout.peb.address, bytes: encodePeb(layout, randomBytes(8).readBigUInt64LE()) },
    { address: layout.hostFunctions.address, bytes: hostFunctions },
    emptyStack(layout.input),
    emptyStack(layout.output),
    { address: layout.stack.address, bytes: cookie },
    ...(initData ? [{ address: layout.initData.address, bytes: initData }] : []),
  ];
  const { pageTables } = layout;
  const tables: PlannedRegion = { ...pageTables, rights: Rights.READ | Rights.WRITE };
  return {
    memoryBytes: layout.memoryBytes,
    // In ring 0 the tables are those that the CPU walks, and the guest may edit.
    ...(privilege === 'supervisor'
      ? { privilege, regions: [tables, ...layout.regions] }
      : { regions: layout.regions, ring0: { pageTablesBytes: pageTables.lengthBytes } }),
    load,
    outputBuffer: layout.output,
    // The header of the input buffer, for each host call; the cookie, for a fault.
    watch: [
      { address: layout.input.address, lengthBytes: 8 },
      { address: layout.stack.address, lengthBytes: COOKIE_BYTES },
    ],
  };
}
