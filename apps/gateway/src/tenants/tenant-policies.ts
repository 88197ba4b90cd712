import { DEFAULT_QUOTAS, type KvmKind, type TenantQuotas } from '@mayfly/contracts';

/** What the platform lets a tenant do. */
export interface TenantPolicy {
  readonly quotas: TenantQuotas;
  /** Its calls wait, and none begins. */
  readonly isPaused: boolean;
  /** The kind of KVM that may run its code; absent: any. */
  readonly requiresKvm?: KvmKind;
  /** Host names that its completion callbacks may go to. */
  readonly callbackHosts: readonly string[];
}

/** Policies by tenant, in memory: a call pays no round trip for them. */
export interface TenantPolicies {
  of(tenant: string): TenantPolicy;
}

/** What a tenant gets of which nothing else is known. */
export const DEFAULT_POLICY: TenantPolicy = { quotas: DEFAULT_QUOTAS, isPaused: false, callbackHosts: [] };
