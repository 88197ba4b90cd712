import { isMayflyError } from '@mayfly/contracts';
import type { AuditLog } from '../audit/audit-log.js';
import type { GatewayConfig } from '../config.js';
import { newTenant } from './stored.js';
import type { TenantDirectory } from './tenant-directory.js';

/**
 * Makes the tenant that the environment names, unless it is there; what the environment requires of its hosts is
 * written, too, when that is more than `any`. Other gateways may do the same at the same time.
 */
export async function ensureBootstrapTenant(
  { tenant: name, tenantKey, tenantRequiresKvm }: GatewayConfig,
  directory: TenantDirectory,
  audit: AuditLog,
): Promise<void> {
  if (tenantKey === undefined) return;
  const known = directory.tenant(name) ?? directory.deleted(name);
  const requiresKvm = tenantRequiresKvm === 'any' ? known?.tenant.requiresKvm : tenantRequiresKvm;
  if (known !== undefined && requiresKvm === known.tenant.requiresKvm) return;
  const before = known?.tenant;
  const after = newTenant(name, { ...before, ...(requiresKvm !== undefined && { requiresKvm }) });
  const action = before === undefined ? 'tenant.create' : 'tenant.policy.replace';
  try {
    await audit.record('environment', { action, tenant: name, target: name, before, after }, [
      { kind: 'tenant', id: name, before: known?.text, after: JSON.stringify(after) },
    ]);
  } catch (error) {
    if (!isMayflyError(error, 'MAYFLY_ERR_GATEWAY_CONFLICT')) throw error;
  }
  await directory.refresh();
}
