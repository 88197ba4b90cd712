import { isDeepStrictEqual } from 'node:util';
import { initialSpecialRegisters, type SegmentRegister, type SpecialRegisters } from '../registers.js';

/** CR4 bit that a guest built for ring 0 may change. */
const PAGE_GLOBAL = 1n << 7n;
const USER = 3;

/** Special registers of a VM that has not run, as its guest sees them: what ring 0 would, or CPL 3. */
export function firstSpecialRegisters(ring0: boolean): SpecialRegisters {
  const initial = initialSpecialRegisters({ paging: true });
  return ring0 ? initial : { ...initial, cs: { ...initial.cs, privilegeLevel: USER } };
}

/** The first register that a guest at CPL 3 may not get so (`DriverVm.setSpecialRegisters`); `undefined`: none. */
export function refusedRegister(
  current: SpecialRegisters,
  wanted: SpecialRegisters,
  ring0: boolean,
): keyof SpecialRegisters | undefined {
  const names = Object.keys(current) as (keyof SpecialRegisters)[];
  return names.find((name) => !isAllowed(name, current, wanted, ring0));
}

function isAllowed(
  name: keyof SpecialRegisters,
  current: SpecialRegisters,
  wanted: SpecialRegisters,
  ring0: boolean,
): boolean {
  if (isDeepStrictEqual(current[name], wanted[name])) return true;
  switch (name) {
    case 'fs':
    case 'gs':
      return (
        isDeepStrictEqual({ ...current[name], base: wanted[name].base }, wanted[name]) ||
        (ring0 && isLoadable(wanted[name]))
      );
    case 'ds':
    case 'es':
    case 'ss':
      return ring0 && isLoadable(wanted[name]);
    case 'cs':
      return ring0 && wanted.cs.present && isLoadable(wanted.cs);
    case 'gdt':
    case 'idt':
    case 'cr2':
      return ring0;
    case 'cr4':
      return ring0 && (current.cr4 & ~PAGE_GLOBAL) === (wanted.cr4 & ~PAGE_GLOBAL);
    default:
      return false;
  }
}

function isLoadable({ present, privilegeLevel, selector }: SegmentRegister): boolean {
  return present ? privilegeLevel === 0 : selector <= USER;
}
