import type { Gate } from '@mayfly/queue';
import type { TenantDirectory } from './tenant-directory.js';

/**
 * Hands what operators decide of a tenant's turn (weight, calls at once, paused) to the gate, as soon as this gateway
 * knows of it. Every gateway does so, and the one that learns of a change last writes what stands.
 */
export function keepGate(
  directory: TenantDirectory,
  gate: Pick<Gate, 'configure'>,
  onFailure: (error: unknown, tenant: string) => void,
): void {
  directory.onTenant(({ tenant: { name }, policy: { quotas, isPaused } }) => {
    const { weight, maxRunning } = quotas;
    gate.configure(name, { weight, maxRunning, isPaused }).catch((error: unknown) => onFailure(error, name));
  });
}
