import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type PlannedRegion, type RegionRequest, Rights, type VmPlan } from '../driver.js';
import { hypervisorError } from '../errors.js';

const PAGE_BYTES = 4096;
export const MAX_MAPPED_REGIONS = 32;
/** End of what can be mapped; above it lie the pages of the driver. */
const END = 60 * 2 ** 30;

/** A mapped region with its bytes: whole pages. */
export interface MappedBytes extends PlannedRegion {
  readonly bytes: Uint8Array;
}

/** What `RegionRequest` says of itself, checked, and its bytes taken. @throws MAYFLY_ERR_VM_REGION. */
export function takeRegion(
  request: RegionRequest,
  plan: VmPlan,
  mapped: readonly PlannedRegion[],
): MappedBytes {
  const { address, rights } = request;
  if (mapped.length >= MAX_MAPPED_REGIONS) refuse(`more than ${MAX_MAPPED_REGIONS} regions`);
  if (!isPages(address)) refuse(`region is not page-aligned ${PAGE_BYTES.toString(16)}`);
  if ((rights & Rights.STACK_GUARD) !== 0) refuse('Cannot map host memory as a stack guard page');
  if ((rights & Rights.WRITE) !== 0) refuse('Writable mappings not supported');
  if (rights !== Rights.READ && rights !== (Rights.READ | Rights.EXECUTE))
    refuse('the rights of a region are READ, or READ and EXECUTE');
  const source = sourceBytes(request);
  const lengthBytes = request.lengthBytes ?? Math.ceil(source.byteLength / PAGE_BYTES) * PAGE_BYTES;
  if (source.byteLength === 0) refuse('the source of the region is empty');
  if (!isPages(lengthBytes) || lengthBytes === 0) refuse('the region is not a positive number of pages long');
  if (lengthBytes > Math.ceil(source.byteLength / PAGE_BYTES) * PAGE_BYTES)
    refuse('the source is shorter than the region');
  if (address < plan.memoryBytes || address + lengthBytes > END)
    refuse('the region is not between guest memory and 60 GiB');
  if (
    mapped.some(
      (other) => address < other.address + other.lengthBytes && other.address < address + lengthBytes,
    )
  )
    refuse('the region overlaps another one');
  const bytes = new Uint8Array(lengthBytes);
  bytes.set(source.subarray(0, lengthBytes));
  return { address, lengthBytes, rights, bytes };
}

function sourceBytes({ source }: RegionRequest): Uint8Array {
  if ('bytes' in source) return source.bytes;
  const { file, offsetBytes = 0 } = source;
  if (offsetBytes !== 0 && !isPages(offsetBytes)) refuse('the offset is not a number of whole pages');
  try {
    const descriptor = typeof file === 'number' ? file : openSync(file, 'r');
    try {
      const info = fstatSync(descriptor);
      if (!info.isFile()) refuse('the source is not a regular file');
      const bytes = new Uint8Array(Math.max(0, info.size - offsetBytes));
      return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.byteLength, offsetBytes));
    } finally {
      if (descriptor !== file) closeSync(descriptor);
    }
  } catch (error) {
    throw hypervisorError('MAYFLY_ERR_VM_REGION', 'the file of the region cannot be read', { cause: error });
  }
}

function isPages(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value % PAGE_BYTES === 0;
}

function refuse(message: string): never {
  throw hypervisorError('MAYFLY_ERR_VM_REGION', message);
}
