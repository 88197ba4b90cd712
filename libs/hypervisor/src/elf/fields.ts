import { type HypervisorErrorCode, hypervisorError } from '../errors.js';

/** A u64 that is an offset or a size. What is beyond 2^53 reads as larger than any limit, never as a small one. */
export function readOffset(view: DataView, position: number): number {
  return view.getUint32(position + 4, true) * 2 ** 32 + view.getUint32(position, true);
}

export function refuse(code: HypervisorErrorCode, message: string, details?: Record<string, unknown>): never {
  throw hypervisorError(code, message, details ? { details } : {});
}
