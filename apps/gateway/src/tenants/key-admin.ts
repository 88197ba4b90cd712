import type { Scope } from '@mayfly/contracts';
import type { AuditLog, AuditSource } from '../audit/audit-log.js';
import { gatewayError, notFound } from '../errors.js';
import { mintKeyText } from './key-text.js';
import type { StoredKey } from './stored.js';
import type { KeyEntry, TenantDirectory } from './tenant-directory.js';

/** Keys that a tenant, or the operators together, may have. */
export const MAX_KEYS = 200;
/** How long an expired key is still listed. */
const EXPIRED_SHOWN_MS = 24 * 3_600_000;

export interface KeyRequest {
  readonly scopes: readonly Scope[];
  readonly functionPattern?: string;
  readonly label?: string;
  readonly expiresInS?: number;
}

/** A key, and its text for the one time that it is shown. */
export interface MadeKey {
  readonly key: StoredKey;
  readonly text: string;
}

/** What may be seen of a key, and stands in the audit log. */
export type KeyView = Omit<StoredKey, 'sha256' | 'kind' | 'tenant'>;

export function describeKey({ sha256: _, kind: _kind, tenant: _tenant, ...view }: StoredKey): KeyView {
  return view;
}

/** Makes, rotates and revokes keys of tenants and, for the tenant `''`, of operators. */
export class KeyAdmin {
  readonly #directory: TenantDirectory;
  readonly #audit: AuditLog;

  constructor(directory: TenantDirectory, audit: AuditLog) {
    this.#directory = directory;
    this.#audit = audit;
  }

  /** Oldest first. */
  async list(tenant: string): Promise<StoredKey[]> {
    await this.#directory.refresh();
    return this.#directory.keysOf(tenant).map(({ key }) => key);
  }

  async create(source: AuditSource, tenant: string, wanted: KeyRequest): Promise<MadeKey> {
    await this.#directory.refresh();
    const made = newKey(tenant, wanted);
    const all = this.#directory.keysOf(tenant);
    const isOld = ({ key }: KeyEntry) =>
      (key.expiresAtMs ?? Number.POSITIVE_INFINITY) < Date.now() - EXPIRED_SHOWN_MS;
    const old = all.filter(isOld);
    if (all.length - old.length >= MAX_KEYS)
      throw gatewayError('MAYFLY_ERR_GATEWAY_QUOTA', `there are ${all.length} keys`, {
        details: { limit: { name: 'maxKeys', value: MAX_KEYS, current: all.length } },
      });
    await this.#record(source, { action: 'key.create', tenant, id: made.key.id, after: made.key }, [
      { kind: 'key', id: made.key.id, after: JSON.stringify(made.key) },
      ...old.map(({ key, text }) => ({ kind: 'key' as const, id: key.id, before: text })),
    ]);
    return made;
  }

  /**
   * A new key that may do what the old one may, and lives as long; the old one ends after the overlap, or when it would
   * have ended anyway.
   */
  async rotate(source: AuditSource, tenant: string, id: string, overlapS: number): Promise<MadeKey> {
    const { key, text } = await this.#find(tenant, id);
    if (key.replacedBy !== undefined)
      throw gatewayError('MAYFLY_ERR_GATEWAY_CONFLICT', `key ${id} is replaced by ${key.replacedBy} already`);
    const { scopes, functionPattern, label, createdAtMs, expiresAtMs } = key;
    const made = newKey(tenant, {
      scopes,
      ...(functionPattern !== undefined && { functionPattern }),
      ...(label !== undefined && { label }),
      ...(expiresAtMs !== undefined && { expiresInS: Math.ceil((expiresAtMs - createdAtMs) / 1000) }),
    });
    const endsAtMs = Math.min(expiresAtMs ?? Number.POSITIVE_INFINITY, Date.now() + overlapS * 1000);
    const replaced: StoredKey = { ...key, expiresAtMs: endsAtMs, replacedBy: made.key.id };
    await this.#record(source, { action: 'key.rotate', tenant, id, before: key, after: replaced }, [
      { kind: 'key', id, before: text, after: JSON.stringify(replaced) },
      { kind: 'key', id: made.key.id, after: JSON.stringify(made.key) },
    ]);
    return made;
  }

  /** @throws MAYFLY_ERR_GATEWAY_CONFLICT for the last key of the operators: nobody could make another. */
  async revoke(source: AuditSource, tenant: string, id: string): Promise<void> {
    const { key, text } = await this.#find(tenant, id);
    const lasting = this.#directory.keysOf('').filter(({ key: other }) => other.expiresAtMs === undefined);
    if (tenant === '' && lasting.length === 1 && lasting[0]?.key.id === id)
      throw gatewayError(
        'MAYFLY_ERR_GATEWAY_CONFLICT',
        'it is the last key of the operators that does not expire',
      );
    await this.#record(source, { action: 'key.revoke', tenant, id, before: key }, [
      { kind: 'key', id, before: text },
    ]);
  }

  async #find(tenant: string, id: string): Promise<KeyEntry> {
    await this.#directory.refresh();
    const entry = this.#directory.key(id);
    if (entry === undefined || entry.key.tenant !== tenant) throw notFound(`key ${id}`);
    return entry;
  }

  async #record(
    source: AuditSource,
    { action, tenant, id, before, after }: KeyChange,
    writes: Parameters<AuditLog['record']>[2],
  ): Promise<void> {
    const change = {
      action: tenant === '' ? `operator-${action}` : action,
      ...(tenant !== '' && { tenant }),
      target: id,
      ...(before !== undefined && { before: describeKey(before) }),
      ...(after !== undefined && { after: describeKey(after) }),
    };
    await this.#audit.record(source, change, writes);
    await this.#directory.refresh();
  }
}

interface KeyChange {
  readonly action: string;
  readonly tenant: string;
  readonly id: string;
  readonly before?: StoredKey;
  readonly after?: StoredKey;
}

function newKey(tenant: string, { expiresInS, ...wanted }: KeyRequest): MadeKey {
  const kind = tenant === '' ? 'operator' : 'tenant';
  const { id, text, sha256 } = mintKeyText(kind);
  const createdAtMs = Date.now();
  const expiry = expiresInS !== undefined && { expiresAtMs: createdAtMs + expiresInS * 1000 };
  return { key: { id, kind, tenant, sha256, ...wanted, createdAtMs, ...expiry }, text };
}
