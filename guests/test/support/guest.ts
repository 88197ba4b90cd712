import { readFileSync } from 'node:fs';
import { parseJsonValue, type ReturnType, type TypedValue } from '@mayfly/contracts';
import {
  createKvmDriver,
  type HypervisorDriver,
  loadSandbox,
  type Sandbox,
  type SandboxOptions,
} from '@mayfly/hypervisor';

/** A driver, or why there is none on this machine. */
export async function kvmOrReason(): Promise<{ driver?: HypervisorDriver; reason: string }> {
  try {
    return { driver: await createKvmDriver({ slots: 1 }), reason: '' };
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  }
}

/** The ELF that `make -C guests` built. */
export function guestBinary(name: string): Uint8Array {
  return readFileSync(new URL(`../../build/${name}.elf`, import.meta.url));
}

export async function startGuest(
  driver: HypervisorDriver,
  name: string,
  options: SandboxOptions = {},
): Promise<Sandbox> {
  return await (await loadSandbox(driver, guestBinary(name), options)).evolve();
}

/** A value as `expectations.json` writes it. */
export function typed(type: ReturnType, value: unknown): TypedValue {
  const parsed = parseJsonValue(type, value);
  if (!parsed.ok) throw new TypeError(`${JSON.stringify(value)}: ${parsed.detail}`);
  return parsed.value;
}
