import { DEFAULT_MEMORY, LIMITS, type MemorySizes } from '@mayfly/contracts';
import { hypervisorError } from '../errors.js';

/** Smaller buffers are raised to this (guest-abi 1.1). */
const MIN_BUFFER_BYTES = 0x2000;

/**
 * Applies defaults and minimums to the sizes of a guest's memory.
 *
 * @throws MAYFLY_ERR_SANDBOX_OPTIONS for what is not a whole number of bytes from 1 to 1 GiB; that all of it
 * together is no larger, `layoutMemory` sees to. What a platform grants its tenants is for its manifests to say.
 */
export function resolveMemory(sizes: Partial<MemorySizes> = {}): MemorySizes {
  const size = (name: keyof MemorySizes): number => {
    const value = sizes[name] ?? DEFAULT_MEMORY[name];
    if (!Number.isSafeInteger(value) || value < 1 || value > LIMITS.guestMemoryBytes)
      throw hypervisorError(
        'MAYFLY_ERR_SANDBOX_OPTIONS',
        `memory.${name} is ${String(value)}: expected a whole number from 1 to ${LIMITS.guestMemoryBytes}`,
        { details: { option: `memory.${name}`, limit: LIMITS.guestMemoryBytes } },
      );
    return value;
  };
  return {
    heapBytes: size('heapBytes'),
    stackBytes: size('stackBytes'),
    inputBytes: Math.max(size('inputBytes'), MIN_BUFFER_BYTES),
    outputBytes: Math.max(size('outputBytes'), MIN_BUFFER_BYTES),
  };
}
