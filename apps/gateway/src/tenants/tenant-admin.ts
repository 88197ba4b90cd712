import { isMayflyError, LIMITS } from '@mayfly/contracts';
import type { AuditLog, AuditSource } from '../audit/audit-log.js';
import { gatewayError, notFound } from '../errors.js';
import { describeKey } from './key-admin.js';
import { newTenant, type StoredTenant } from './stored.js';
import type { TenantDirectory, TenantEntry } from './tenant-directory.js';

/** Gateways may change one tenant at the same time; each loss is another's success. */
const MAX_TRIES = 20;

/** What operators do with tenants; every change is on record in the audit log. */
export class TenantAdmin {
  readonly #directory: TenantDirectory;
  readonly #audit: AuditLog;

  constructor(directory: TenantDirectory, audit: AuditLog) {
    this.#directory = directory;
    this.#audit = audit;
  }

  /** As it stands now, not as remembered. @throws MAYFLY_ERR_GATEWAY_NOT_FOUND */
  async find(name: string): Promise<TenantEntry> {
    await this.#directory.refresh();
    const entry = this.#directory.tenant(name);
    if (entry === undefined) throw notFound(`tenant ${name}`);
    return entry;
  }

  /** @throws MAYFLY_ERR_GATEWAY_CONFLICT when the name is taken, or has been within the time that records are kept. */
  async create(source: AuditSource, name: string, fields: Partial<StoredTenant>): Promise<StoredTenant> {
    await this.#directory.refresh();
    if (this.#directory.tenant(name) !== undefined)
      throw gatewayError('MAYFLY_ERR_GATEWAY_CONFLICT', `tenant ${name} exists`);
    const gone = this.#directory.deleted(name);
    const freeAtMs = (gone?.tenant.deletedAtMs ?? 0) + LIMITS.recordRetentionMs;
    if (gone !== undefined && Date.now() < freeAtMs)
      throw gatewayError(
        'MAYFLY_ERR_GATEWAY_CONFLICT',
        `records of the tenant ${name} that was deleted are kept until ${new Date(freeAtMs).toISOString()}`,
      );
    const after = newTenant(name, fields);
    const change = { action: 'tenant.create', tenant: name, target: name, after };
    await this.#audit.record(source, change, [
      { kind: 'tenant', id: name, before: gone?.text, after: JSON.stringify(after) },
    ]);
    await this.#directory.refresh();
    return after;
  }

  /**
   * Changes a tenant from what it is at that moment.
   * @param edit may be called again, with a newer tenant, when another gateway was faster; what it throws is thrown
   * @param part what of the tenant the audit log shall show, before and after
   */
  async update(
    source: AuditSource,
    { name, action, part }: { name: string; action: string; part: (tenant: StoredTenant) => unknown },
    edit: (tenant: StoredTenant) => StoredTenant,
  ): Promise<TenantEntry> {
    for (let attempt = 1; ; attempt += 1) {
      const { tenant, text } = await this.find(name);
      const changed = edit(tenant);
      const change = { action, tenant: name, target: name, before: part(tenant), after: part(changed) };
      try {
        await this.#audit.record(source, change, [
          { kind: 'tenant', id: name, before: text, after: JSON.stringify(changed) },
        ]);
        return await this.find(name);
      } catch (error) {
        if (!isMayflyError(error, 'MAYFLY_ERR_GATEWAY_CONFLICT') || attempt === MAX_TRIES) throw error;
      }
    }
  }

  /** Deletes a tenant and its keys, in one step. Its name stays taken while records of it may be kept. */
  async remove(source: AuditSource, name: string): Promise<void> {
    const { tenant, text } = await this.find(name);
    const keys = this.#directory.keysOf(name);
    const gone: StoredTenant = {
      ...newTenant(name),
      createdAtMs: tenant.createdAtMs,
      deletedAtMs: Date.now(),
    };
    const before = { ...tenant, keys: keys.map(({ key }) => describeKey(key)) };
    await this.#audit.record(source, { action: 'tenant.delete', tenant: name, target: name, before }, [
      { kind: 'tenant', id: name, before: text, after: JSON.stringify(gone) },
      ...keys.map((entry) => ({ kind: 'key' as const, id: entry.key.id, before: entry.text })),
    ]);
    await this.#directory.refresh();
  }
}
