import type { Manifest, TenantQuotas } from '@mayfly/contracts';
import { invalidRequest, tooLarge } from '../errors.js';
import type { ResolvedVersion } from './resolve-version.js';

type Ceilings = Pick<TenantQuotas, 'maxTimeoutMs' | 'maxMemoryBytes'>;

/**
 * Guest time of a call: what the caller asks for, else the manifest's as far as the function's settings and the
 * tenant's quota allow it.
 * @param pointer where the caller asks
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST for more than both allow: no meaning is changed in silence.
 */
export function timeoutOf(
  { version, settings }: ResolvedVersion,
  { maxTimeoutMs }: Ceilings,
  asked: number | undefined,
  pointer: string,
): number {
  const ceiling = Math.min(settings.timeoutMs ?? maxTimeoutMs, maxTimeoutMs);
  if (asked === undefined) return Math.min(version.manifest.timeoutMs, ceiling);
  if (asked > ceiling) throw invalidRequest({ pointer, detail: `at most ${ceiling} for this function` });
  return asked;
}

/**
 * Refuses a version that needs more guest memory than the function's settings or the tenant's quota allow by now.
 * @throws MAYFLY_ERR_GATEWAY_TOO_LARGE
 */
export function checkMemory({ version, settings }: ResolvedVersion, { maxMemoryBytes }: Ceilings): void {
  const ceiling = Math.min(settings.memoryBytes ?? maxMemoryBytes, maxMemoryBytes);
  if (memoryOf(version.manifest) > ceiling) throw tooLarge('memoryBytes', ceiling);
}

/** Guest memory that a version asks for: its heap, stack and buffers. The binary comes on top. */
export function memoryOf({ memory }: Manifest): number {
  return memory.heapBytes + memory.stackBytes + memory.inputBytes + memory.outputBytes;
}
