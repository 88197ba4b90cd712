/** Codes of the core's errors, as `src/core/error.hpp` numbers them. */
export const NativeCode = {
  None: 0,
  Plan: 1,
  Request: 2,
  Range: 3,
  Busy: 4,
  Closed: 5,
  SnapshotMismatch: 6,
  NoHypervisor: 7,
  Hypervisor: 8,
  DriverClosed: 9,
  Option: 10,
  Region: 11,
  Privilege: 12,
} as const;

/** An error of the core as plain data. */
export interface NativeFailure {
  readonly code: number;
  readonly text: string;
  /** Of a failed system call, else 0. */
  readonly errno: number;
}

/** Reads an error that the addon threw; undefined for anybody else's. */
export function readFailure(error: unknown): NativeFailure | undefined {
  if (!(error instanceof Error) || !('nativeCode' in error) || typeof error.nativeCode !== 'number')
    return undefined;
  const errno = 'errno' in error && typeof error.errno === 'number' ? error.errno : 0;
  return { code: error.nativeCode, text: error.message, errno };
}
