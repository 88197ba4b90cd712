import { channels, DEFAULT_SETTINGS, type FunctionRef, type FunctionSettings, keys } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { orUnavailable } from '../redis.js';
import type { TenantPolicies } from '../tenants/tenant-policies.js';
import { fingerprint, functionRef, type NewVersion, type StoredVersion } from './stored-version.js';

/** A function and its versions, lowest first; at least one. */
export interface StoredFunction {
  readonly name: string;
  readonly versions: readonly StoredVersion[];
  /** Defaults applied. */
  readonly settings: FunctionSettings;
}

/** KEYS function, names. ARGV fingerprint, version JSON, name. @returns {number, 1 if new}. */
const ADD_VERSION = `
local same = redis.call('HGET', KEYS[1], 's:' .. ARGV[1])
if same and redis.call('HEXISTS', KEYS[1], 'v' .. same) == 1 then return {tonumber(same), 0} end
local n = redis.call('HINCRBY', KEYS[1], 'next', 1)
redis.call('HSET', KEYS[1], 'v' .. n, ARGV[2], 's:' .. ARGV[1], n)
redis.call('SADD', KEYS[2], ARGV[3])
return {n, 1}`;

/**
 * KEYS function, names. ARGV name, then fields to delete. The name goes with the last version; \`next\` stays, so that
 * a number never means two things. @returns how many versions were deleted.
 */
const DELETE_VERSIONS = `
local deleted = 0
for i = 2, #ARGV do
  local n = redis.call('HDEL', KEYS[1], ARGV[i])
  if string.sub(ARGV[i], 1, 1) == 'v' then deleted = deleted + n end
end
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, 1) == 'v' then return deleted end
end
redis.call('SREM', KEYS[2], ARGV[1])
return deleted`;

/** Functions and versions of all tenants, in Redis (contracts/redis-keys). Names are validated by the caller. */
export class FunctionRegistry {
  readonly #redis: Redis;
  readonly #policies: TenantPolicies;

  constructor(redis: Redis, policies: TenantPolicies) {
    this.#redis = redis;
    this.#policies = policies;
  }

  /** The version as workers are told of it. */
  refOf(tenant: string, name: string, version: StoredVersion): FunctionRef {
    return functionRef(tenant, name, version, this.#policies.of(tenant).requiresKvm);
  }

  /** Adds a version, or finds the one that is the same; announces a new one to workers and gateways. */
  async addVersion(
    tenant: string,
    name: string,
    version: NewVersion,
  ): Promise<{ version: StoredVersion; created: boolean }> {
    const [number, created] = (await this.#eval(ADD_VERSION, tenant, name, [
      fingerprint(version),
      JSON.stringify(version),
      name,
    ])) as [number, number];
    const stored = { version: number, ...version };
    if (created === 1) await this.#announce(this.refOf(tenant, name, stored));
    return created === 1
      ? { version: stored, created: true }
      : { version: (await this.getVersion(tenant, name, number)) ?? stored, created: false };
  }

  async getFunction(tenant: string, name: string): Promise<StoredFunction | undefined> {
    return parseFunction(name, await orUnavailable(this.#redis.hgetall(keys.function(tenant, name))));
  }

  async getVersion(tenant: string, name: string, version: number): Promise<StoredVersion | undefined> {
    const text = await orUnavailable(this.#redis.hget(keys.function(tenant, name), `v${version}`));
    return text === null ? undefined : parseVersion(version, text);
  }

  /** Names of a tenant's functions, sorted. */
  async listNames(tenant: string): Promise<string[]> {
    return (await orUnavailable(this.#redis.smembers(keys.functionNames(tenant)))).sort();
  }

  /** Functions in the order of the names; one that has gone meanwhile is left out. */
  async getFunctions(tenant: string, names: readonly string[]): Promise<StoredFunction[]> {
    const found = await Promise.all(names.map((name) => this.getFunction(tenant, name)));
    return found.filter((stored) => stored !== undefined);
  }

  /** @returns whether there was such a version. */
  async deleteVersion(tenant: string, name: string, version: number): Promise<boolean> {
    const stored = await this.getVersion(tenant, name, version);
    return stored !== undefined && (await this.#delete(tenant, name, [stored])) > 0;
  }

  /** @returns whether there was such a function. */
  async deleteFunction(tenant: string, name: string): Promise<boolean> {
    const stored = await this.getFunction(tenant, name);
    return stored !== undefined && (await this.#delete(tenant, name, stored.versions)) > 0;
  }

  /** Every artifact that a version of the tenant needs. */
  async artifactHashes(tenant: string): Promise<Set<string>> {
    const functions = await this.getFunctions(tenant, await this.listNames(tenant));
    return new Set(functions.flatMap((stored) => stored.versions.map((version) => version.artifactSha256)));
  }

  async #delete(tenant: string, name: string, versions: readonly StoredVersion[]): Promise<number> {
    const fields = versions.flatMap((stored) => [
      `v${stored.version}`,
      `s:${fingerprint(withoutNumber(stored))}`,
    ]);
    const deleted = (await this.#eval(DELETE_VERSIONS, tenant, name, [name, ...fields])) as number;
    await orUnavailable(this.#redis.publish(channels.registry, `${tenant} ${name}`));
    return deleted;
  }

  async #announce(ref: FunctionRef): Promise<void> {
    await orUnavailable(
      Promise.all([
        this.#redis.publish(channels.registry, `${ref.tenant} ${ref.name}`),
        this.#redis.publish(channels.versions, JSON.stringify(ref)),
      ]),
    );
  }

  /** Runs a script over the keys of one function. */
  #eval(script: string, tenant: string, name: string, args: readonly string[]): Promise<unknown> {
    const { function: functionKey, functionNames } = keys;
    return orUnavailable(
      this.#redis.eval(script, 2, functionKey(tenant, name), functionNames(tenant), ...args),
    );
  }
}

function withoutNumber({ version: _, ...rest }: StoredVersion): NewVersion {
  return rest;
}

function parseFunction(name: string, fields: Record<string, string>): StoredFunction | undefined {
  const versions = Object.entries(fields)
    .filter(([field]) => /^v\d+$/.test(field))
    .map(([field, text]) => parseVersion(Number(field.slice(1)), text))
    .sort((a, b) => a.version - b.version);
  if (versions.length === 0) return undefined;
  const own = JSON.parse(fields['settings'] ?? '{}') as Partial<FunctionSettings>;
  return { name, versions, settings: { ...DEFAULT_SETTINGS, ...own } };
}

function parseVersion(version: number, text: string): StoredVersion {
  return { version, ...(JSON.parse(text) as NewVersion) };
}
