import type { JailReport } from '@mayfly/hypervisor';
import { workerError } from '../errors.js';

/** Without one of these a tenant that breaks out of its VM and its cell's core could reach the host or another tenant. */
const REQUIRED: readonly string[] = ['user-namespace', 'mount-namespace', 'net-namespace', 'seccomp'];

/** What is missing of a jail, in words; empty: nothing. */
export function missingLayers(report: JailReport): string {
  return report.missing.map(({ layer, reason }) => `${layer} (${reason})`).join(', ');
}

/**
 * Refuses a cell whose jail lacks what separates tenants. Each cell is asked: a host can run out of namespaces.
 * @throws MAYFLY_ERR_JAIL_INCOMPLETE unless the operator allows it
 */
export function requireJail(report: JailReport, isIncompleteAllowed: boolean): void {
  const missing = report.missing.filter(({ layer }) => REQUIRED.includes(layer));
  if (missing.length === 0 || isIncompleteAllowed) return;
  throw workerError(
    'MAYFLY_ERR_JAIL_INCOMPLETE',
    `This host does not allow a cell its ${missing.map(({ layer, reason }) => `${layer} (${reason})`).join(', ')}. ` +
      'npm run doctor says what to change; MAYFLY_WORKER_ALLOW_INCOMPLETE_JAIL=yes serves all the same, for tenants who trust each other.',
    { details: { missing: missing.map(({ layer }) => layer) } },
  );
}
