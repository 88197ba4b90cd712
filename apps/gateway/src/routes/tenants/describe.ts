import type { Static } from 'typebox';
import type { PolicySchema, TenantSchema } from '../../schemas/tenant.js';
import { quotasOf, type StoredTenant } from '../../tenants/stored.js';

export function describePolicy({ requiresKvm, callbackHosts }: StoredTenant): Static<typeof PolicySchema> {
  return { requiresKvm: requiresKvm ?? 'any', callbackHosts: [...callbackHosts] };
}

export function describeTenant(tenant: StoredTenant): Static<typeof TenantSchema> {
  const { name, createdAtMs, isPaused } = tenant;
  return { name, createdAtMs, paused: isPaused, policy: describePolicy(tenant), quotas: quotasOf(tenant) };
}
