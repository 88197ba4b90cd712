import { ALIAS_BUCKET_S, type AliasRollback, isMayflyError, keys } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import type { AuditLog } from '../audit/audit-log.js';
import { orUnavailable } from '../redis.js';
import type { FunctionCache } from './function-cache.js';
import type { FunctionRegistry } from './function-registry.js';
import type { StoredAlias } from './stored-function.js';

const LOOK_EVERY_MS = 1_000;
/** Calls that were sent on may end some time after the last of them was. */
const WATCHED_AFTER_MS = 120_000;

export interface RollbackWatchDeps {
  readonly redis: Redis;
  readonly cache: FunctionCache;
  readonly registry: FunctionRegistry;
  readonly audit: AuditLog;
  readonly onError: (error: unknown) => void;
}

interface Watched {
  readonly tenant: string;
  readonly name: string;
  readonly alias: string;
  lastCallMs: number;
}

export interface EndedCalls {
  readonly requests: number;
  readonly errors: number;
}

/**
 * Turns the newest version of an alias off when too many of its calls fail. Each gateway watches the aliases that it
 * sends calls by; the first that sees too much does it, and the others find another revision.
 */
export class RollbackWatch {
  readonly #deps: RollbackWatchDeps;
  readonly #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: RollbackWatchDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.look().catch(this.#deps.onError);
    }, LOOK_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** A call goes by this alias, which has a roll-back. */
  sent(tenant: string, name: string, alias: string): void {
    const id = `${tenant} ${name} ${alias}`;
    const known = this.#watched.get(id);
    if (known !== undefined) known.lastCallMs = Date.now();
    else this.#watched.set(id, { tenant, name, alias, lastCallMs: Date.now() });
  }

  /** Looks at every alias that calls went by of late. */
  async look(): Promise<void> {
    const now = Date.now();
    for (const [id, watched] of this.#watched) {
      if (now - watched.lastCallMs > WATCHED_AFTER_MS) this.#watched.delete(id);
      else await this.#look(watched);
    }
  }

  async #look({ tenant, name, alias }: Watched): Promise<void> {
    const stored = (await this.#deps.cache.get(tenant, name))?.aliases.get(alias);
    if (stored?.rollback === undefined || !canRollBack(stored)) return;
    const calls = await this.#count(tenant, name, { name: alias, ...stored }, stored.rollback);
    if (isTooMuch(calls, stored.rollback)) await this.#rollBack({ tenant, name, alias, stored, calls });
  }

  async #count(
    tenant: string,
    name: string,
    alias: StoredAlias & { readonly name: string },
    { windowS }: AliasRollback,
  ): Promise<EndedCalls> {
    const last = Math.floor(Date.now() / 1000 / ALIAS_BUCKET_S);
    const count = Math.ceil(windowS / ALIAS_BUCKET_S);
    const pipeline = this.#deps.redis.pipeline();
    for (let bucket = last - count; bucket <= last; bucket += 1)
      pipeline.hmget(keys.aliasCounts(tenant, name, alias, bucket), `${alias.newest}:n`, `${alias.newest}:e`);
    let requests = 0;
    let errors = 0;
    for (const [, found] of (await orUnavailable(pipeline.exec())) ?? []) {
      const [n, e] = (found ?? []) as (string | null)[];
      requests += countOf(n);
      errors += countOf(e);
    }
    return { requests, errors };
  }

  async #rollBack({ tenant, name, alias, stored, calls }: RollBack): Promise<void> {
    const { registry, cache, audit } = this.#deps;
    const { revision, ...before } = stored;
    const rolledBack = { atMs: Date.now(), version: stored.newest, ...calls };
    const after = {
      ...before,
      weights: { ...stored.weights, [stored.newest]: 0 },
      updatedAtMs: rolledBack.atMs,
      rolledBack,
    };
    try {
      await registry.writeAlias(tenant, name, alias, after, [revision]);
    } catch (error) {
      cache.forget(tenant, name);
      // Somebody, or another gateway, changed it first.
      if (isMayflyError(error, 'MAYFLY_ERR_GATEWAY_PRECONDITION')) return;
      throw error;
    }
    cache.forget(tenant, name);
    await audit.record('rollback', {
      ...{ action: 'alias.rollback', tenant, target: `${name}:${alias}` },
      ...{ before: before.weights, after },
    });
  }
}

interface RollBack {
  readonly tenant: string;
  readonly name: string;
  readonly alias: string;
  readonly stored: StoredAlias;
  readonly calls: EndedCalls;
}

/** Whether another version is there to take the calls. */
export function canRollBack({ weights, newest }: StoredAlias): boolean {
  const used = Object.keys(weights).filter((version) => (weights[version] ?? 0) > 0);
  return used.length > 1 && used.includes(String(newest));
}

export function isTooMuch({ requests, errors }: EndedCalls, rollback: AliasRollback): boolean {
  return requests >= rollback.minRequests && errors > rollback.errorRate * requests;
}

const countOf = (text: string | null | undefined): number =>
  typeof text === 'string' && /^\d{1,15}$/.test(text) ? Number(text) : 0;
