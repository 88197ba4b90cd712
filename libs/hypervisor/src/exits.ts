import { type DriverExit, type PlannedRegion, Rights } from './driver.js';
import { PAGE_FAULT, PageFaultBits } from './exceptions.js';

export type Access = 'read' | 'write' | 'execute';

/** An access to a region that its rights forbid, however the driver noticed it. */
export interface AccessViolation {
  readonly kind: 'access-violation';
  readonly address: bigint;
  readonly access: Access;
  /** `Rights` of the region. */
  readonly rights: number;
  /** Instruction that did it; absent where the driver reports the access without it. */
  readonly rip?: bigint;
}

/** The guest has used up one of the limits of its `CallBudget`; `reason` says which. */
export interface OverBudget {
  readonly kind: 'over-budget';
  readonly reason: string;
}

/**
 * Why the guest came back, as the library's loop sees it: a driver's exit, with forbidden accesses told apart and the
 * budget looked at.
 */
export type VmExit = DriverExit | AccessViolation | OverBudget;
export type IoOut = Extract<DriverExit, { kind: 'io-out' }>;
export type DebugExit = Extract<DriverExit, { kind: 'debug' }>;

const ACCESS_RIGHT: Readonly<Record<Access, number>> = {
  read: Rights.READ,
  write: Rights.WRITE,
  execute: Rights.EXECUTE,
};

/**
 * Tells forbidden accesses to known regions from other exits (guest-abi 5.4). A guest at CPL 3 meets them as page
 * faults, a guest that owns its page tables as MMIO.
 *
 * @param regionsOf asked for only where there is an address to look at
 */
export function classifyExit(exit: DriverExit, regionsOf: () => readonly PlannedRegion[]): VmExit {
  if (exit.kind === 'mmio')
    return violation(regionsOf(), exit.address, exit.write ? 'write' : 'read') ?? exit;
  if (exit.kind !== 'exception' || exit.vector !== PAGE_FAULT) return exit;
  const access =
    (exit.errorCode & PageFaultBits.INSTRUCTION_FETCH) !== 0n
      ? 'execute'
      : (exit.errorCode & PageFaultBits.WRITE) !== 0n
        ? 'write'
        : 'read';
  return violation(regionsOf(), exit.address, access, exit.rip) ?? exit;
}

function violation(
  regions: readonly PlannedRegion[],
  address: bigint,
  access: Access,
  rip?: bigint,
): AccessViolation | undefined {
  const region = regions.find(
    (candidate) =>
      address >= BigInt(candidate.address) && address < BigInt(candidate.address + candidate.lengthBytes),
  );
  if (!region) return undefined;
  const guarded = (region.rights & Rights.STACK_GUARD) !== 0;
  if (!guarded && (region.rights & ACCESS_RIGHT[access]) !== 0) return undefined;
  return {
    kind: 'access-violation',
    address,
    access,
    rights: region.rights,
    ...(rip !== undefined && { rip }),
  };
}

const RIGHT_NAMES = [
  [Rights.READ, 'READ'],
  [Rights.WRITE, 'WRITE'],
  [Rights.EXECUTE, 'EXECUTE'],
  [Rights.STACK_GUARD, 'STACK_GUARD'],
] as const;

/** Rights as the reference's texts write them: `READ | WRITE`, or `NONE` (guest-abi 15). */
export function rightsText(rights: number): string {
  const names = RIGHT_NAMES.filter(([bit]) => (rights & bit) !== 0).map(([, name]) => name);
  return names.length === 0 ? 'NONE' : names.join(' | ');
}
