import { NativeCode, readFailure } from '@mayfly/native';
import type { MemoryWrite } from '../driver.js';
import { type HYPERVISOR_ERRORS, hypervisorError } from '../errors.js';

export type ErrorName = keyof typeof HYPERVISOR_ERRORS;

const ERROR_OF_CODE: Record<number, ErrorName> = {
  [NativeCode.Plan]: 'MAYFLY_ERR_VM_PLAN',
  [NativeCode.Request]: 'MAYFLY_ERR_VM_REQUEST',
  [NativeCode.Range]: 'MAYFLY_ERR_VM_RANGE',
  [NativeCode.Busy]: 'MAYFLY_ERR_VM_BUSY',
  [NativeCode.Closed]: 'MAYFLY_ERR_VM_CLOSED',
  [NativeCode.SnapshotMismatch]: 'MAYFLY_ERR_VM_SNAPSHOT_MISMATCH',
  [NativeCode.NoHypervisor]: 'MAYFLY_ERR_NO_HYPERVISOR',
  [NativeCode.Hypervisor]: 'MAYFLY_ERR_HYPERVISOR',
  [NativeCode.DriverClosed]: 'MAYFLY_ERR_DRIVER_CLOSED',
  [NativeCode.Option]: 'MAYFLY_ERR_VM_REQUEST',
  [NativeCode.Region]: 'MAYFLY_ERR_VM_REGION',
  [NativeCode.Privilege]: 'MAYFLY_ERR_VM_PRIVILEGE',
};

export function failure(code: number, text: string, errno: number, cause?: unknown) {
  return hypervisorError(ERROR_OF_CODE[code] ?? 'MAYFLY_ERR_HYPERVISOR', text, {
    ...(cause === undefined ? {} : { cause }),
    ...(errno === 0 ? {} : { details: { errno } }),
  });
}

/** The addon's errors become ours; anything else is a fault of the host. */
export function translate(error: unknown) {
  const native = readFailure(error);
  if (native !== undefined) return failure(native.code, native.text, native.errno);
  return hypervisorError('MAYFLY_ERR_HYPERVISOR', 'The native core failed', { cause: error });
}

export function translated<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw translate(error);
  }
}

export function requireWhole(value: number, name: string, max: number, code: ErrorName, min = 0): void {
  if (!Number.isSafeInteger(value) || value < min || value > max)
    throw hypervisorError(code, `${name} must be a whole number from ${min} to ${max}, not ${String(value)}`);
}

export function requireWrites(writes: readonly MemoryWrite[], name: string, code: ErrorName): void {
  for (const [i, write] of writes.entries()) {
    requireWhole(write.address, `${name}[${i}].address`, Number.MAX_SAFE_INTEGER, code);
    if (!(write.bytes instanceof Uint8Array))
      throw hypervisorError(code, `${name}[${i}].bytes must be a Uint8Array`);
  }
}
