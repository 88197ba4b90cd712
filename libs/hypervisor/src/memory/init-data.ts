import { LIMITS } from '@mayfly/contracts';
import { Rights } from '../driver.js';
import { hypervisorError } from '../errors.js';

/** Bytes that a guest finds behind its stack, at the place that its PEB names (guest-abi 1.1, region InitData). */
export interface InitData {
  /** Copied when the guest is loaded; not empty. */
  readonly bytes: Uint8Array;
  /** `Rights` without STACK_GUARD. @defaultValue READ */
  readonly rights?: number;
}

export interface ResolvedInitData {
  readonly bytes: Uint8Array;
  readonly rights: number;
}

const ALLOWED = Rights.READ | Rights.WRITE | Rights.EXECUTE;

/** @throws MAYFLY_ERR_SANDBOX_OPTIONS, MAYFLY_ERR_MEMORY_TOO_BIG. */
export function resolveInitData(initData: InitData | undefined): ResolvedInitData | undefined {
  if (initData === undefined) return undefined;
  const { bytes, rights = Rights.READ } = initData;
  if (!(bytes instanceof Uint8Array) || bytes.byteLength === 0)
    refuse('bytes', 'initData.bytes is not a Uint8Array with at least a byte');
  if (!Number.isInteger(rights) || rights < 0 || (rights & ~ALLOWED) !== 0)
    refuse('rights', `initData.rights is ${String(rights)}: expected READ, WRITE and EXECUTE, combined`);
  if (bytes.byteLength > LIMITS.guestMemoryBytes)
    throw hypervisorError(
      'MAYFLY_ERR_MEMORY_TOO_BIG',
      `Memory requested ${bytes.byteLength} exceeds maximum size allowed ${LIMITS.guestMemoryBytes}`,
      { details: { memoryBytes: bytes.byteLength, limitBytes: LIMITS.guestMemoryBytes } },
    );
  return { bytes: Uint8Array.from(bytes), rights };
}

function refuse(option: string, message: string): never {
  throw hypervisorError('MAYFLY_ERR_SANDBOX_OPTIONS', message, { details: { option: `initData.${option}` } });
}
