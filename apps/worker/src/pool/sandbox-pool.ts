import type { FunctionRef, Usage } from '@mayfly/contracts';
import { workerError } from '../errors.js';
import { Permits } from '../permits.js';
import { FailureCache } from './failure-cache.js';
import type { GuestImage, GuestSandbox, ImageBuilder, InitFailure } from './guest-image.js';
import { type PoolLimits, type PoolUse, planEvictions, type VersionUse } from './pool-policy.js';
import { type SlotCall, SlotQueues } from './slot-queues.js';

export interface PoolOptions {
  readonly limits: PoolLimits;
  /** Slots that sandboxes are spread over. @defaultValue 1 */
  readonly slots?: number;
  /** Versions that are initialised at once. @defaultValue 1 */
  readonly buildsAtOnce?: number;
  /** How long a version whose initialisation failed answers with that failure, untried. @defaultValue 10_000 */
  readonly failureTtlMs?: number;
  /** A close that failed: what it held may be lost to the host, and nobody waits for it. */
  readonly onCloseError?: (error: unknown) => void;
}

export type Lease =
  | {
      readonly ok: true;
      readonly sandbox: GuestSandbox;
      readonly source: Usage['source'];
      /** The call was taken off its slot before it began, since it waited behind a long one. */
      readonly isRevoked: boolean;
      /** Gives the sandbox back; a doubtful one is closed. Call once. */
      release(options: { readonly doubtful: boolean }): void;
    }
  | { readonly ok: false; readonly failure: InitFailure };

/** Builds that a call waits for in a pool so small that each is evicted for another before it is used. */
const LEASE_ATTEMPTS = 3;

interface Version {
  readonly key: string;
  readonly image: GuestImage;
  readonly idle: GuestSandbox[];
  leased: number;
  /** Its image has ended; it is in no table any more. */
  isDiscarded: boolean;
  /** Which lease of the pool was its last one. */
  lastUse: number;
}

/** `built`: now, for who asked. */
export interface Prepared {
  readonly built: boolean;
  readonly failure?: InitFailure;
}

type Ensured = { readonly version: Version; readonly built: boolean } | { readonly failure: InitFailure };

/**
 * Sandboxes per function version: leased for one call, then given back or thrown away. A version is initialised once,
 * however many calls wait for it; sandboxes and images that were used longest ago make room for others.
 */
export class SandboxPool {
  readonly #builder: ImageBuilder;
  readonly #options: PoolOptions;
  readonly #builds: Permits;
  readonly #slots: SlotQueues;
  readonly #failures: FailureCache;
  readonly #versions = new Map<string, Version>();
  readonly #building = new Map<string, Promise<Ensured>>();
  readonly #closing = new Set<Promise<void>>();
  #used: PoolUse = { sandboxes: 0, memoryBytes: 0 };
  #uses = 0;
  #closed = false;

  constructor(builder: ImageBuilder, options: PoolOptions) {
    this.#builder = builder;
    this.#options = options;
    this.#builds = new Permits(options.buildsAtOnce ?? 1);
    this.#slots = new SlotQueues(options.slots ?? 1);
    this.#failures = new FailureCache(options.failureTtlMs ?? 10_000);
  }

  /** `sandboxes` are leased or idle. `busySlots`: slots that have calls. */
  get use(): PoolUse & { readonly versions: number; readonly leased: number; readonly busySlots: number } {
    let leased = 0;
    for (const version of this.#versions.values()) leased += version.leased;
    return { ...this.#used, versions: this.#versions.size, leased, busySlots: this.#slots.busy };
  }

  /**
   * Initialises a version unless that is done; undefined when there is nothing to wait for. `failure`: the version's
   * own; it shows in `lease`, too.
   * @throws MAYFLY_ERR_POOL_FULL, MAYFLY_ERR_POOL_CLOSED, and the host faults of the builder.
   */
  prepare(ref: FunctionRef, urgency: 'call' | 'background' = 'call'): Promise<Prepared> | undefined {
    if (this.#find(versionKey(ref)) !== undefined) return undefined;
    return this.#ensure(ref, urgency).then((ensured) =>
      'failure' in ensured ? { built: false, failure: ensured.failure } : { built: ensured.built },
    );
  }

  /** Same errors as `prepare`. */
  async lease(ref: FunctionRef): Promise<Lease> {
    const warm = this.#leaseIdle(this.#find(versionKey(ref)));
    if (warm) return warm;
    for (let attempt = 0; attempt < LEASE_ATTEMPTS; attempt += 1) {
      const ensured = await this.#ensure(ref, 'call');
      if ('failure' in ensured) return { ok: false, failure: ensured.failure };
      const { version, built } = ensured;
      // Another build may have needed its room already.
      if (this.#versions.get(version.key) !== version) continue;
      return this.#leaseIdle(version, built ? 'boot' : 'warm') ?? this.#leaseNew(version);
    }
    throw this.#full();
  }

  /** Forgets images that have ended, and what was made from them. */
  discardGone(): void {
    for (const version of [...this.#versions.values()]) if (version.image.isGone) this.#discard(version);
  }

  /** Closes all that is idle now, and what is leased when it comes back; resolves when all closes are done. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#building.values());
    for (const version of this.#versions.values()) {
      this.#closeIdle(version, version.idle.length);
      if (version.leased === 0) this.#dropImage(version);
    }
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }

  #leaseIdle(version: Version | undefined, source: Usage['source'] = 'warm'): Lease | undefined {
    if (version === undefined) return undefined;
    const index = this.#bestIdle(version);
    if (index === undefined) return undefined;
    const [sandbox] = version.idle.splice(index, 1);
    if (sandbox === undefined) return undefined;
    version.leased += 1;
    return this.#leaseOf(version, sandbox, source);
  }

  /**
   * The idle sandbox with the least before it on its slot; of equals the one that was given back last, whose pages are
   * the likeliest to be in the caches. None where a new one could start at once and this one could not.
   */
  #bestIdle({ idle, image }: Version): number | undefined {
    let best: number | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    for (let index = idle.length - 1; index >= 0 && fewest > 0; index -= 1) {
      const calls = this.#slots.callsOn(idle[index]?.slot);
      if (calls < fewest) {
        best = index;
        fewest = calls;
      }
    }
    const wantsNew = fewest > 0 && this.#slots.hasFree;
    return wantsNew && this.#fits({ sandboxes: 1, memoryBytes: image.memoryBytes }) ? undefined : best;
  }

  async #leaseNew(version: Version): Promise<Lease> {
    const { memoryBytes } = version.image;
    // Counted before it exists: calls that arrive meanwhile see the room as taken, and the image stays.
    this.#reserve(version.key, { sandboxes: 1, memoryBytes });
    version.leased += 1;
    try {
      return this.#leaseOf(version, await version.image.instantiate(), 'snapshot');
    } catch (error) {
      this.#count(-1, -memoryBytes);
      this.#endLease(version);
      throw error;
    }
  }

  #leaseOf(version: Version, sandbox: GuestSandbox, source: Usage['source']): Lease {
    version.lastUse = this.#nextUse();
    let isRevoked = false;
    const revoke = () => {
      isRevoked ||= sandbox.revoke();
      return isRevoked;
    };
    const call: SlotCall | undefined =
      sandbox.slot === undefined ? undefined : { slot: sandbox.slot, revoke };
    if (call) this.#slots.enter(call);
    return {
      ok: true,
      sandbox,
      source,
      get isRevoked() {
        return isRevoked;
      },
      release: ({ doubtful }) => {
        if (call) this.#slots.leave(call);
        if (doubtful || sandbox.poisoned || this.#closed || version.image.isGone)
          this.#closeSandbox(version, sandbox);
        else version.idle.push(sandbox);
        this.#endLease(version);
      },
    };
  }

  #nextUse(): number {
    this.#uses += 1;
    return this.#uses;
  }

  #endLease(version: Version): void {
    version.leased -= 1;
    if ((this.#closed || version.isDiscarded) && version.leased === 0) this.#dropImage(version);
  }

  /** A version whose image can be used. */
  #find(key: string): Version | undefined {
    const version = this.#versions.get(key);
    if (!version?.image.isGone) return version;
    this.#discard(version);
    return undefined;
  }

  #discard(version: Version): void {
    this.#closeIdle(version, version.idle.length);
    this.#versions.delete(version.key);
    version.isDiscarded = true;
    if (version.leased === 0) this.#dropImage(version);
  }

  async #ensure(ref: FunctionRef, urgency: 'call' | 'background'): Promise<Ensured> {
    if (this.#closed) throw workerError('MAYFLY_ERR_POOL_CLOSED', 'the pool is closed');
    const key = versionKey(ref);
    const version = this.#find(key);
    if (version) return { version, built: false };
    const failure = this.#failures.get(key);
    if (failure) return { failure };
    const running = this.#building.get(key);
    if (running) return running;
    const building = this.#build(key, ref, urgency).finally(() => this.#building.delete(key));
    this.#building.set(key, building);
    return building;
  }

  async #build(key: string, ref: FunctionRef, urgency: 'call' | 'background'): Promise<Ensured> {
    await this.#builds.acquire(urgency === 'call' ? 'sync' : 'async');
    try {
      if (this.#closed) throw workerError('MAYFLY_ERR_POOL_CLOSED', 'the pool is closed');
      const built = await this.#builder.build(ref);
      if (!built.ok) {
        this.#failures.set(key, built.failure);
        return { failure: built.failure };
      }
      return { version: this.#admit(key, built), built: true };
    } finally {
      this.#builds.release();
    }
  }

  /** Takes a new image and its first sandbox in. Their size is known only now. */
  #admit(key: string, { image, sandbox }: { image: GuestImage; sandbox: GuestSandbox }): Version {
    try {
      if (this.#closed) throw workerError('MAYFLY_ERR_POOL_CLOSED', 'the pool is closed');
      this.#reserve(key, { sandboxes: 1, memoryBytes: 2 * image.memoryBytes });
    } catch (error) {
      this.#track(sandbox.close());
      image.close();
      throw error;
    }
    const lastUse = this.#nextUse();
    const version: Version = { key, image, idle: [sandbox], leased: 0, lastUse, isDiscarded: false };
    this.#versions.set(key, version);
    return version;
  }

  /** Makes room, closing what is not in use if need be, and takes it. */
  #reserve(asking: string, wanted: PoolUse): void {
    if (!this.#fits(wanted)) this.#evictFor(asking, wanted);
    this.#count(wanted.sandboxes, wanted.memoryBytes);
  }

  #fits(wanted: PoolUse): boolean {
    const { maxSandboxes, maxMemoryBytes } = this.#options.limits;
    return (
      this.#used.sandboxes + wanted.sandboxes <= maxSandboxes &&
      this.#used.memoryBytes + wanted.memoryBytes <= maxMemoryBytes
    );
  }

  #evictFor(asking: string, wanted: PoolUse): void {
    const others: VersionUse[] = [];
    const oldestFirst = [...this.#versions.values()].sort((a, b) => a.lastUse - b.lastUse);
    for (const { key, idle, leased, image } of oldestFirst)
      if (key !== asking) others.push({ key, idle: idle.length, leased, memoryBytes: image.memoryBytes });
    const plan = planEvictions(others, this.#used, wanted, this.#options.limits);
    if (!plan.fits) throw this.#full();
    for (const { key, sandboxes, image } of plan.evictions) {
      const version = this.#versions.get(key);
      if (!version) continue;
      this.#closeIdle(version, sandboxes);
      if (image) this.#dropImage(version);
    }
  }

  #full() {
    return workerError('MAYFLY_ERR_POOL_FULL', 'running calls hold all room for sandboxes', {
      details: { ...this.#options.limits, ...this.#used },
    });
  }

  #closeIdle(version: Version, sandboxes: number): void {
    for (const sandbox of version.idle.splice(0, sandboxes)) this.#closeSandbox(version, sandbox);
  }

  #closeSandbox(version: Version, sandbox: GuestSandbox): void {
    this.#count(-1, -version.image.memoryBytes);
    this.#track(sandbox.close());
  }

  #track(closing: Promise<void>): void {
    const tracked = closing
      .catch((error) => this.#options.onCloseError?.(error))
      .finally(() => this.#closing.delete(tracked));
    this.#closing.add(tracked);
  }

  #dropImage(version: Version): void {
    if (this.#versions.get(version.key) === version) this.#versions.delete(version.key);
    this.#count(0, -version.image.memoryBytes);
    version.image.close();
  }

  #count(sandboxes: number, memoryBytes: number): void {
    this.#used = {
      sandboxes: this.#used.sandboxes + sandboxes,
      memoryBytes: this.#used.memoryBytes + memoryBytes,
    };
  }
}

/** What an image depends on: nobody else's image has this key, not even of the same bytes. */
function versionKey(ref: FunctionRef): string {
  const { heapBytes, stackBytes, inputBytes, outputBytes } = ref.memory;
  return `${ref.tenant}:${ref.name}:${ref.version}:${ref.artifactSha256}:${heapBytes}:${stackBytes}:${inputBytes}:${outputBytes}`;
}
