import { isTenantName, keys } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { orUnavailable } from '../redis.js';
import { parseKey, parseTenant, quotasOf, type StoredKey, type StoredTenant } from './stored.js';
import type { TenantPolicies, TenantPolicy } from './tenant-policies.js';

/** How old the copy may be when a key is checked against it: so long may a revoked key be taken. */
export const FRESH_MS = 1_000;
/** How often the copy is confirmed, beside each announcement. */
const LOOK_MS = 300;
const MEMBERS_AT_ONCE = 1_000;

export interface TenantEntry {
  readonly tenant: StoredTenant;
  /** As it stands in Redis. */
  readonly text: string;
  readonly policy: TenantPolicy;
}

export interface KeyEntry {
  readonly key: StoredKey;
  readonly text: string;
  readonly hash: Buffer;
}

/**
 * All tenants and keys, in memory: a request pays no round trip for them. The copy follows Redis by announcements and
 * by a look several times a second, which finds nothing most times and costs one small command. A message that gets
 * lost is so made good within the time that a look takes.
 */
export class TenantDirectory implements TenantPolicies {
  readonly #redis: Redis;
  readonly #fallback: TenantPolicy;
  readonly #tenants = new Map<string, TenantEntry>();
  readonly #keys = new Map<string, KeyEntry>();
  readonly #listeners: ((entry: TenantEntry) => void)[] = [];
  /** -1: everything has to be read. */
  #revision = -1;
  /** Counts connections, so that a look which began on one and ended on the next is not taken for the truth. */
  #connection = 0;
  /** By the monotonic clock: no step of the time of day makes the copy look fresh. */
  #confirmedAt = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param fallback policy of a tenant that is not there, such as one just deleted whose calls still end */
  constructor(redis: Redis, fallback: TenantPolicy) {
    this.#redis = redis;
    this.#fallback = fallback;
    // A Redis that comes back may have lost the last writes and count their revisions anew.
    redis.on('ready', () => {
      this.#revision = -1;
      this.#connection += 1;
    });
  }

  /** Reads everything, then follows. @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE */
  async start(): Promise<void> {
    await this.refresh();
    this.#timer = setInterval(() => void this.refresh().catch(() => undefined), LOOK_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Whether the copy was the truth at some time within the last second. */
  get isFresh(): boolean {
    return performance.now() - this.#confirmedAt < FRESH_MS;
  }

  of(tenant: string): TenantPolicy {
    return this.#tenants.get(tenant)?.policy ?? this.#fallback;
  }

  tenant(name: string): TenantEntry | undefined {
    const entry = this.#tenants.get(name);
    return entry?.tenant.deletedAtMs === undefined ? entry : undefined;
  }

  /** A tenant that was deleted. */
  deleted(name: string): TenantEntry | undefined {
    const entry = this.#tenants.get(name);
    return entry?.tenant.deletedAtMs === undefined ? undefined : entry;
  }

  /** Of all tenants that may have bytes in the blob store: those deleted, too. */
  names(): string[] {
    return [...this.#tenants.keys()];
  }

  /** Sorted by name. */
  tenants(): TenantEntry[] {
    return [...this.#tenants.values()]
      .filter(({ tenant }) => tenant.deletedAtMs === undefined)
      .sort((a, b) => (a.tenant.name < b.tenant.name ? -1 : 1));
  }

  key(id: string): KeyEntry | undefined {
    return this.#keys.get(id);
  }

  /** Keys of a tenant, or of operators (`''`), oldest first. */
  keysOf(tenant: string): KeyEntry[] {
    return [...this.#keys.values()]
      .filter(({ key }) => key.tenant === tenant)
      .sort((a, b) => a.key.createdAtMs - b.key.createdAtMs);
  }

  /** Called with each tenant that is new or changed, as soon as this gateway knows, and with all that it reads anew. */
  onTenant(listener: (entry: TenantEntry) => void): void {
    this.#listeners.push(listener);
  }

  /** Resolves once the copy holds all that was written before the call. @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE */
  refresh(): Promise<void> {
    if (this.#running === undefined) {
      this.#running = this.#look().finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    // The one under way may have read before the caller's write; one more serves all who ask meanwhile.
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.refresh();
      });
    return this.#next;
  }

  async #look(): Promise<void> {
    const startedAt = performance.now();
    const connection = this.#connection;
    const known = this.#revision;
    const [revision, changed] = await orUnavailable(
      Promise.all([
        this.#redis.get(keys.tenantRevision),
        this.#redis.zrangebyscore(keys.tenantChanges, known < 0 ? '+inf' : `(${known}`, '+inf'),
      ]),
    );
    const current = Number(revision ?? 0);
    if (known < 0 || current < known) await this.#readAll();
    else if (changed.length > 0) await this.#readSome(changed);
    if (connection !== this.#connection) return this.#look();
    this.#revision = current;
    this.#confirmedAt = startedAt;
  }

  async #readAll(): Promise<void> {
    const [tenants, apiKeys] = await orUnavailable(
      Promise.all([this.#redis.hgetall(keys.tenants), this.#redis.hgetall(keys.apiKeys)]),
    );
    for (const name of this.#tenants.keys()) if (!Object.hasOwn(tenants, name)) this.#tenants.delete(name);
    for (const id of this.#keys.keys()) if (!Object.hasOwn(apiKeys, id)) this.#keys.delete(id);
    for (const [name, text] of Object.entries(tenants)) this.#setTenant(name, text, true);
    for (const [id, text] of Object.entries(apiKeys)) this.#setKey(id, text);
  }

  async #readSome(members: readonly string[]): Promise<void> {
    for (let i = 0; i < members.length; i += MEMBERS_AT_ONCE) {
      const some = members.slice(i, i + MEMBERS_AT_ONCE);
      const read = async (hash: string, kind: string, set: (name: string, text: string | null) => void) => {
        const names = some.filter((member) => member.startsWith(kind)).map((member) => member.slice(2));
        if (names.length === 0) return;
        const texts = await this.#redis.hmget(hash, ...names);
        for (const [at, name] of names.entries()) set(name, texts[at] ?? null);
      };
      await orUnavailable(
        Promise.all([
          read(keys.tenants, 't:', (name, text) => this.#setTenant(name, text)),
          read(keys.apiKeys, 'k:', (id, text) => this.#setKey(id, text)),
        ]),
      );
    }
  }

  /** @param tell listeners even of what did not change: what they wrote may be lost where this was read again */
  #setTenant(name: string, text: string | null, tell = false): void {
    if (!tell && this.#tenants.get(name)?.text === text) return;
    const tenant = text === null || !isTenantName(name) ? undefined : parseTenant(text);
    if (tenant === undefined || text === null) {
      this.#tenants.delete(name);
      return;
    }
    const entry = { tenant, text, policy: policyOf(tenant) };
    this.#tenants.set(name, entry);
    for (const listener of this.#listeners) listener(entry);
  }

  #setKey(id: string, text: string | null): void {
    if (this.#keys.get(id)?.text === text) return;
    const key = text === null ? undefined : parseKey(text);
    if (key === undefined || text === null) this.#keys.delete(id);
    else this.#keys.set(id, { key, text, hash: Buffer.from(key.sha256, 'hex') });
  }
}

function policyOf(tenant: StoredTenant): TenantPolicy {
  const { isPaused, callbackHosts, requiresKvm } = tenant;
  return {
    quotas: quotasOf(tenant),
    ...{ isPaused, callbackHosts },
    ...(requiresKvm !== undefined && { requiresKvm }),
  };
}
