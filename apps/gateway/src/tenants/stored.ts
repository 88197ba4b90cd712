import {
  DEFAULT_QUOTAS,
  isKvmKind,
  type KvmKind,
  SCOPES,
  type Scope,
  type TenantQuotas,
} from '@mayfly/contracts';

/** What operators decided of a tenant, as Redis keeps it (`keys.tenants`). */
export interface StoredTenant {
  readonly name: string;
  readonly createdAtMs: number;
  readonly isPaused: boolean;
  readonly requiresKvm?: KvmKind;
  readonly callbackHosts: readonly string[];
  /** What differs from `DEFAULT_QUOTAS`. */
  readonly quotas: Partial<TenantQuotas>;
  /** The tenant is gone; its name is kept while records of it may be. */
  readonly deletedAtMs?: number;
}

/** A key, as Redis keeps it (`keys.apiKeys`): its text is nowhere. */
export interface StoredKey {
  /** 12 hex digits, part of the key's text. */
  readonly id: string;
  readonly kind: 'operator' | 'tenant';
  /** Empty for an operator's. */
  readonly tenant: string;
  /** Of the key's whole text, in hex. */
  readonly sha256: string;
  readonly scopes: readonly Scope[];
  readonly functionPattern?: string;
  /** What its maker calls it. */
  readonly label?: string;
  readonly createdAtMs: number;
  /** Absent: valid until it is revoked. */
  readonly expiresAtMs?: number;
  /** The key that this one is replaced by, once it has been rotated. */
  readonly replacedBy?: string;
}

export function newTenant(name: string, fields: Partial<StoredTenant> = {}): StoredTenant {
  return { createdAtMs: Date.now(), isPaused: false, callbackHosts: [], quotas: {}, ...fields, name };
}

/** @returns undefined for text that is no tenant; what newer releases add to it is kept. */
export function parseTenant(text: string): StoredTenant | undefined {
  const tenant = parseObject(text) as unknown as StoredTenant | undefined;
  if (typeof tenant?.name !== 'string') return undefined;
  const { requiresKvm, ...rest } = tenant;
  return newTenant(tenant.name, { ...rest, ...(isKvmKind(requiresKvm) && { requiresKvm }) });
}

/** @returns undefined for text that is no key. */
export function parseKey(text: string): StoredKey | undefined {
  const key = parseObject(text) as unknown as StoredKey | undefined;
  if (typeof key?.id !== 'string' || typeof key.sha256 !== 'string' || !Array.isArray(key.scopes))
    return undefined;
  if (key.kind !== 'operator' && (key.kind !== 'tenant' || !key.tenant)) return undefined;
  return { ...key, scopes: key.scopes.filter((scope) => SCOPES.includes(scope)) };
}

export function quotasOf({ quotas }: StoredTenant): TenantQuotas {
  return { ...DEFAULT_QUOTAS, ...quotas };
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
