/** CPU exceptions by vector (guest-abi 5.3). */
const NAMES: ReadonlyMap<number, string> = new Map([
  [0, 'DivideByZero'],
  [1, 'Debug'],
  [2, 'NonMaskableInterrupt'],
  [3, 'Breakpoint'],
  [4, 'Overflow'],
  [5, 'BoundRangeExceeded'],
  [6, 'InvalidOpcode'],
  [7, 'DeviceNotAvailable'],
  [8, 'DoubleFault'],
  [9, 'CoprocessorSegmentOverrun'],
  [10, 'InvalidTSS'],
  [11, 'SegmentNotPresent'],
  [12, 'StackSegmentFault'],
  [13, 'GeneralProtectionFault'],
  [14, 'PageFault'],
  [15, 'Reserved'],
  [16, 'X87FloatingPointException'],
  [17, 'AlignmentCheck'],
  [18, 'MachineCheck'],
  [19, 'SIMDFloatingPointException'],
  [20, 'VirtualizationException'],
  [30, 'SecurityException'],
]);

export const GENERAL_PROTECTION = 13;
export const PAGE_FAULT = 14;

/** Bits of a page fault's error code (Intel SDM vol. 3, 4.7). */
export const PageFaultBits = { PRESENT: 1n, WRITE: 2n, INSTRUCTION_FETCH: 16n } as const;

/** The ABI's name of a vector; `undefined` for one that the ABI does not name. */
export function exceptionName(vector: number): string | undefined {
  return NAMES.get(vector);
}
