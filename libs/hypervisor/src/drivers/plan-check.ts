import type { VmPlan } from '../driver.js';
import { hypervisorError } from '../errors.js';

const PAGE_BYTES = 4096;
const MAX_MEMORY_BYTES = 2 ** 30;
const ALL_RIGHTS = 15;

/** What `VmPlan` says of itself, checked. @throws MAYFLY_ERR_VM_PLAN. */
export function checkPlan(plan: VmPlan): void {
  const { memoryBytes } = plan;
  if (!isPages(memoryBytes) || memoryBytes > MAX_MEMORY_BYTES)
    refuse('memoryBytes is not a number of pages up to 1 GiB');
  if (plan.privilege === 'supervisor') refuse('privilege: this driver plays guests at CPL 3 only');
  const tables = plan.ring0?.pageTablesBytes ?? PAGE_BYTES;
  if (!isPages(tables) || tables > memoryBytes)
    refuse('the page tables of a ring-0 guest are not a positive number of pages of guest memory');
  let end = plan.ring0?.pageTablesBytes ?? 0;
  for (const [index, { address, lengthBytes, rights }] of plan.regions.entries()) {
    if (address !== 0 && !isPages(address)) refuse(`region ${index} does not start on a page`);
    if (!isPages(lengthBytes)) refuse(`region ${index} is not a positive number of pages long`);
    if (address < end)
      refuse(`region ${index} overlaps the one before it (or the page tables) or is out of order`);
    end = address + lengthBytes;
    if (end > memoryBytes) refuse(`region ${index} ends outside guest memory`);
    if (!Number.isInteger(rights) || rights < 0 || rights > ALL_RIGHTS)
      refuse(`region ${index} has unknown rights`);
  }
  for (const [index, { address, bytes }] of plan.load.entries())
    if (!Number.isSafeInteger(address) || address < 0 || address + bytes.byteLength > memoryBytes)
      refuse(`load ${index} ends outside guest memory`);
  const output = plan.outputBuffer;
  if (output && !(output.address >= 0 && output.address + output.lengthBytes <= memoryBytes))
    refuse('the output buffer ends outside guest memory');
}

function isPages(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0 && value % PAGE_BYTES === 0;
}

function refuse(message: string): never {
  throw hypervisorError('MAYFLY_ERR_VM_PLAN', message);
}
