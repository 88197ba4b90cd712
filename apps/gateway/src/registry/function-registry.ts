import {
  ALIAS_LIMITS,
  type Alias,
  channels,
  type FunctionRef,
  type FunctionSettings,
  keys,
  type PrepareOrder,
  type Readiness,
  type ReadinessReport,
} from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { gatewayError, notFound, quotaExceeded } from '../errors.js';
import { orUnavailable } from '../redis.js';
import type { TenantPolicies } from '../tenants/tenant-policies.js';
import { type Precondition, preconditionFailed, preconditionRequired } from './precondition.js';
import { parseReport } from './readiness-report.js';
import {
  ADD_VERSION,
  DELETE_ALIAS,
  DELETE_VERSIONS,
  REFUSALS,
  REPORT,
  STORAGE_LIMITS,
  WRITE,
} from './scripts.js';
import { parseFunction, parseVersion, type StoredFunction } from './stored-function.js';
import { fingerprint, functionRef, type NewVersion, type StoredVersion } from './stored-version.js';

/** What was to be deleted, or is used by aliases: their names. */
export type Deletion = { readonly deleted: boolean } | { readonly usedBy: readonly string[] };

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

  /**
   * Adds a version, or finds the one that is the same; announces a new one to workers and gateways.
   * @throws MAYFLY_ERR_GATEWAY_QUOTA when the tenant may store no more
   */
  async addVersion(
    tenant: string,
    name: string,
    version: NewVersion,
  ): Promise<{ version: StoredVersion; created: boolean }> {
    const pending: Readiness = { state: 'pending', atMs: Date.now() };
    const { quotas } = this.#policies.of(tenant);
    const [number, created, current = 0] = (await this.#eval(ADD_VERSION, tenant, name, [
      fingerprint(version),
      JSON.stringify(version),
      name,
      JSON.stringify(pending),
      String(version.artifactBytes),
      ...STORAGE_LIMITS.map((limit) => String(quotas[limit])),
    ])) as [number, number, number?];
    const limit = number === 0 ? STORAGE_LIMITS[created - 1] : undefined;
    if (limit !== undefined) throw quotaExceeded({ name: limit, value: quotas[limit], current });
    const stored = { version: number, ...version };
    if (created === 1) await this.#announce(this.refOf(tenant, name, stored));
    return created === 1
      ? { version: stored, created: true }
      : { version: (await this.getVersion(tenant, name, number)) ?? stored, created: false };
  }

  async getFunction(tenant: string, name: string): Promise<StoredFunction | undefined> {
    const stored = await this.#read(tenant, name);
    if (stored === undefined || !isPending(stored)) return stored;
    return (await this.#takeReports(tenant, stored)) ? this.#read(tenant, name) : stored;
  }

  async #read(tenant: string, name: string): Promise<StoredFunction | undefined> {
    return parseFunction(name, await orUnavailable(this.#redis.hgetall(keys.function(tenant, name))));
  }

  /** Reports that no gateway heard. @returns whether one of them changed something. */
  async #takeReports(tenant: string, { name, readiness }: StoredFunction): Promise<boolean> {
    const texts = Object.values(await orUnavailable(this.#redis.hgetall(keys.ready(tenant, name))));
    const reports = texts.flatMap((text) => parseReport(text) ?? []);
    const news = reports.filter(({ version }) => readiness.get(version)?.state === 'pending');
    const changed = await Promise.all(news.map((report) => this.report(report)));
    return changed.includes(true);
  }

  /** Takes in what a worker says of a version. @returns whether that changed something. */
  async report({ tenant, name, version, ...report }: ReadinessReport): Promise<boolean> {
    const { state, atMs, workerId, message } = report;
    if (state === 'unavailable') return false;
    const readiness: Readiness = { state, atMs, workerId, ...(message !== undefined && { message }) };
    const changed = await orUnavailable(
      this.#redis.eval(
        ...([REPORT, 2, keys.function(tenant, name), keys.unprepared] as const),
        ...[String(version), unpreparedField({ tenant, name, version }), state, JSON.stringify(readiness)],
      ),
    );
    if (changed === 1) await this.#changed(tenant, name);
    return changed === 1;
  }

  /** Asks every worker to prepare a version. */
  async order(order: PrepareOrder): Promise<void> {
    await orUnavailable(this.#redis.publish(channels.versions, JSON.stringify(order)));
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

  /** @param force deletes what aliases use, too: these go on without it. */
  async deleteVersion(tenant: string, name: string, version: number, force = false): Promise<Deletion> {
    const stored = await this.getVersion(tenant, name, version);
    return stored === undefined ? { deleted: false } : this.#delete(tenant, name, [stored], force);
  }

  /** @param force deletes a function that has aliases in use, too. */
  async deleteFunction(tenant: string, name: string, force = false): Promise<Deletion> {
    const stored = await this.getFunction(tenant, name);
    return stored === undefined ? { deleted: false } : this.#delete(tenant, name, stored.versions, force);
  }

  /**
   * Replaces the settings. @returns their revision.
   * @throws MAYFLY_ERR_GATEWAY_NOT_FOUND, …_PRECONDITION, …_PRECONDITION_REQUIRED
   */
  async writeSettings(
    tenant: string,
    name: string,
    settings: Partial<FunctionSettings>,
    precondition: Precondition,
  ): Promise<number> {
    // There are always settings, if only the defaults: "whatever is there" never fails.
    const always = precondition === 'any' ? 'always' : precondition;
    return this.#write(tenant, name, [
      'settings',
      'settingsRev',
      textOf(always),
      JSON.stringify(settings),
      '0',
    ]);
  }

  /**
   * Creates or replaces an alias. @returns its revision.
   * @throws MAYFLY_ERR_GATEWAY_NOT_FOUND, …_PRECONDITION, …_PRECONDITION_REQUIRED, …_INVALID_REQUEST
   */
  async writeAlias(
    tenant: string,
    name: string,
    alias: string,
    content: Alias,
    precondition: Precondition,
  ): Promise<number> {
    return this.#write(tenant, name, [
      `a:${alias}`,
      `ar:${alias}`,
      textOf(precondition),
      JSON.stringify(content),
      String(ALIAS_LIMITS.aliases),
      ...Object.keys(content.weights),
    ]);
  }

  /** @returns whether there was such an alias. @throws MAYFLY_ERR_GATEWAY_PRECONDITION */
  async deleteAlias(
    tenant: string,
    name: string,
    alias: string,
    precondition: Precondition,
  ): Promise<boolean> {
    const wanted = precondition === 'unstated' ? 'always' : precondition;
    const [code = 0, fact = 0] = (await this.#eval(DELETE_ALIAS, tenant, name, [
      `a:${alias}`,
      `ar:${alias}`,
      textOf(wanted),
    ])) as number[];
    if (code === REFUSALS.failed) throw preconditionFailed(fact);
    if (code === 1) await this.#changed(tenant, name);
    return code === 1;
  }

  /** How many functions a tenant has, and the bytes of all their artifacts. */
  async stored(tenant: string): Promise<{ functions: number; storedBytes: number }> {
    const [functions, bytes] = await orUnavailable(
      Promise.all([
        this.#redis.scard(keys.functionNames(tenant)),
        this.#redis.hvals(keys.storedBytes(tenant)),
      ]),
    );
    return { functions, storedBytes: bytes.reduce((sum, each) => sum + Number(each), 0) };
  }

  /** Every artifact that a version of the tenant needs. */
  async artifactHashes(tenant: string): Promise<Set<string>> {
    const functions = await this.getFunctions(tenant, await this.listNames(tenant));
    return new Set(functions.flatMap((stored) => stored.versions.map((version) => version.artifactSha256)));
  }

  async #delete(
    tenant: string,
    name: string,
    versions: readonly StoredVersion[],
    force: boolean,
  ): Promise<Deletion> {
    const args = versions.flatMap((stored) => [String(stored.version), fingerprint(withoutNumber(stored))]);
    const [deleted, ...usedBy] = (await this.#eval(DELETE_VERSIONS, tenant, name, [
      name,
      force ? '1' : '0',
      ...args,
    ])) as [number, ...string[]];
    if (usedBy.length > 0) return { usedBy: usedBy.sort() };
    const unprepared = versions.map(({ version }) => unpreparedField({ tenant, name, version }));
    await orUnavailable(this.#redis.hdel(keys.unprepared, ...unprepared));
    await this.#changed(tenant, name);
    return { deleted: deleted > 0 };
  }

  /** Runs `WRITE`. @returns the new revision */
  async #write(tenant: string, name: string, args: readonly string[]): Promise<number> {
    const [code = 0, fact = 0] = (await this.#eval(WRITE, tenant, name, [name, ...args])) as number[];
    switch (code) {
      case REFUSALS.noFunction:
        throw notFound(`function ${name}`);
      case REFUSALS.failed:
        throw preconditionFailed(fact);
      case REFUSALS.required:
        throw preconditionRequired();
      case REFUSALS.noVersion:
        throw notFound(`version ${fact} of function ${name}`);
      case REFUSALS.tooMany:
        throw gatewayError('MAYFLY_ERR_GATEWAY_CONFLICT', `function ${name} has ${fact} aliases`, {
          details: { limit: { name: 'aliases', value: ALIAS_LIMITS.aliases, current: fact } },
        });
      default:
        await this.#changed(tenant, name);
        return code;
    }
  }

  async #changed(tenant: string, name: string): Promise<void> {
    await orUnavailable(this.#redis.publish(channels.registry, `${tenant} ${name}`));
  }

  async #announce(ref: FunctionRef): Promise<void> {
    await orUnavailable(
      Promise.all([
        // For workers that start later, or did not hear it.
        this.#redis.hset(keys.unprepared, unpreparedField(ref), JSON.stringify(ref)),
        this.#redis.publish(channels.registry, `${ref.tenant} ${ref.name}`),
        this.#redis.publish(channels.versions, JSON.stringify(ref)),
      ]),
    );
  }

  /** Runs a script over the keys of one function. */
  #eval(script: string, tenant: string, name: string, args: readonly string[]): Promise<unknown> {
    const { function: functionKey, functionNames, storedBytes } = keys;
    return orUnavailable(
      this.#redis.eval(
        ...([script, 3, functionKey(tenant, name), functionNames(tenant), storedBytes(tenant)] as const),
        ...args,
      ),
    );
  }
}

function withoutNumber({ version: _, ...rest }: StoredVersion): NewVersion {
  return rest;
}

/** As `WRITE` takes it. */
function textOf(precondition: Precondition | 'always'): string {
  return typeof precondition === 'string' ? precondition : `tags ${precondition.join(' ')}`;
}

const isPending = ({ readiness }: StoredFunction): boolean =>
  [...readiness.values()].some(({ state }) => state === 'pending');

const unpreparedField = (ref: Pick<FunctionRef, 'tenant' | 'name' | 'version'>): string =>
  `${ref.tenant} ${ref.name} ${ref.version}`;
