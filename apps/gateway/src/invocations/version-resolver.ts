import type { Hosts } from '../dispatch/hosts.js';
import type { Placement } from '../dispatch/placement.js';
import { gatewayError, notFound } from '../errors.js';
import type { FunctionCache } from '../registry/function-cache.js';
import type { Quarantines } from '../registry/quarantines.js';
import type { ReadinessListener } from '../registry/readiness-listener.js';
import type { RollbackWatch } from '../registry/rollback-watch.js';
import type { Headers } from './choose-version.js';
import type { Qualifier } from './qualifier.js';
import { type ResolvedVersion, resolveVersion } from './resolve-version.js';

/** Announcements may be lost: after this the function is read again. */
const LOOK_AGAIN_MS = 1_000;
/** Calls that wait for a version at once: they hold their bodies, and no admission has counted them yet. */
const MAX_WAITING = 1_000;
const RETRY_AFTER_S = 1;

export interface VersionName extends Qualifier {
  readonly tenant: string;
  readonly name: string;
  /** Of the request: an alias may go by one of them. */
  readonly headers: Headers;
}

export interface VersionResolverDeps {
  readonly cache: FunctionCache;
  readonly readiness: ReadinessListener;
  readonly placement: Placement;
  readonly hosts: Pick<Hosts, 'live'>;
  /** How long a call waits for the first snapshot of its version. */
  readonly waitMs: number;
  readonly isDraining: () => boolean;
  readonly rollbacks: Pick<RollbackWatch, 'sent'>;
  readonly quarantines: Pick<Quarantines, 'find'>;
}

/** Finds the version of a call. */
export class VersionResolver {
  readonly #deps: VersionResolverDeps;
  #waiting = 0;

  constructor(deps: VersionResolverDeps) {
    this.#deps = deps;
  }

  /**
   * The version that the name means now, routable or not.
   * @throws MAYFLY_ERR_GATEWAY_NOT_FOUND, …_QUARANTINED
   */
  async resolve({ tenant, name, headers, ...qualifier }: VersionName): Promise<ResolvedVersion> {
    const { cache } = this.#deps;
    const stored = cache.peek(tenant, name) ?? (await cache.get(tenant, name));
    if (stored === undefined) throw notFound(`function ${name}`);
    if (qualifier.alias !== undefined && stored.aliases.get(qualifier.alias)?.rollback !== undefined)
      this.#deps.rollbacks.sent(tenant, name, qualifier.alias);
    const { quarantines } = this.#deps;
    const isQuarantined = (version: number) => quarantines.find(tenant, name, version) !== undefined;
    const resolved = resolveVersion(stored, qualifier, { headers, isQuarantined });
    if (resolved.state === 'quarantined') throw quarantined(name, resolved);
    return resolved;
  }

  /**
   * The version, once a worker has its snapshot: its first call does not pay for that.
   * @param signalOf of a caller who may go; asked for only where there is a wait
   * @throws MAYFLY_ERR_GATEWAY_NOT_FOUND, …_QUARANTINED, …_NOT_ROUTABLE when no worker has it in time, …_NO_HOST
   */
  async resolveRoutable(wanted: VersionName, signalOf?: () => AbortSignal): Promise<ResolvedVersion> {
    const resolved = await this.resolve(wanted);
    if (resolved.state !== 'pending') return resolved;
    if (this.#waiting >= MAX_WAITING) throw notRoutable(resolved);
    this.#waiting += 1;
    try {
      return await this.#wait(wanted, resolved, signalOf?.());
    } finally {
      this.#waiting -= 1;
    }
  }

  async #wait(wanted: VersionName, first: ResolvedVersion, signal: AbortSignal | undefined) {
    const { cache, readiness, placement, waitMs, isDraining } = this.#deps;
    const { tenant, name } = wanted;
    await placement.check(tenant);
    if (!(await this.#isAnnounced())) return first;
    const deadline = performance.now() + waitMs;
    let resolved = first;
    for (;;) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0 || isDraining() || signal?.aborted) throw notRoutable(resolved);
      const { version } = resolved.version;
      const news = readiness.news({ tenant, name, version }, Math.min(leftMs, LOOK_AGAIN_MS), signal);
      // Read once it is listened, so that no change falls between both.
      resolved = await this.resolve(wanted);
      if (resolved.state !== 'pending') return resolved;
      const heard = await news;
      // Whoever takes the call says by name what its host lacks.
      if (heard === 'unavailable') return resolved;
      if (heard === 'none') cache.forget(tenant, name, LOOK_AGAIN_MS / 2);
    }
  }

  /** Workers of an older release prepare versions and do not say so: with these alone, a call goes its way. */
  async #isAnnounced(): Promise<boolean> {
    const live = await this.#deps.hosts.live();
    return live.length === 0 || live.some(({ reportsReadiness }) => reportsReadiness);
  }
}

function notRoutable({ version }: ResolvedVersion) {
  return gatewayError(
    'MAYFLY_ERR_GATEWAY_NOT_ROUTABLE',
    `no worker has a snapshot of version ${version.version} yet`,
    { details: { retryAfterS: RETRY_AFTER_S } },
  );
}

function quarantined(name: string, { version: { version } }: ResolvedVersion) {
  return gatewayError(
    'MAYFLY_ERR_GATEWAY_QUARANTINED',
    `version ${version} of function ${name} is quarantined, since workers died while it ran; an operator can lift that`,
  );
}
