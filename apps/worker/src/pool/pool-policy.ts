export interface PoolLimits {
  readonly maxSandboxes: number;
  readonly maxMemoryBytes: number;
}

/** What is in the pool, or what is wanted in addition. */
export interface PoolUse {
  readonly sandboxes: number;
  readonly memoryBytes: number;
}

/** One version as the policy sees it. */
export interface VersionUse {
  readonly key: string;
  readonly idle: number;
  /** Leased sandboxes, and those being made. */
  readonly leased: number;
  /** Size of its image, and of each sandbox. */
  readonly memoryBytes: number;
}

export interface Eviction {
  readonly key: string;
  /** Idle sandboxes to close. */
  readonly sandboxes: number;
  /** Whether the image goes, too; the next call builds it anew. */
  readonly image: boolean;
}

export interface EvictionPlan {
  /** False: even all that may go does not make room. */
  readonly fits: boolean;
  readonly evictions: readonly Eviction[];
}

/**
 * What to close so that `wanted` fits within the limits. Idle sandboxes go first, then whole images, each from the
 * version that was used longest ago: a sandbox is made again in microseconds, an image in milliseconds. A version
 * with leased sandboxes keeps its image. Pure.
 * @param versions oldest use first; the one that asks is not among them.
 */
export function planEvictions(
  versions: readonly VersionUse[],
  used: PoolUse,
  wanted: PoolUse,
  limits: PoolLimits,
): EvictionPlan {
  let overSandboxes = used.sandboxes + wanted.sandboxes - limits.maxSandboxes;
  let overBytes = used.memoryBytes + wanted.memoryBytes - limits.maxMemoryBytes;
  const evictions = new Map<string, Eviction>();

  for (const version of versions) {
    let sandboxes = 0;
    while (sandboxes < version.idle && (overSandboxes > 0 || overBytes > 0)) {
      sandboxes += 1;
      overSandboxes -= 1;
      overBytes -= version.memoryBytes;
    }
    if (sandboxes > 0) evictions.set(version.key, { key: version.key, sandboxes, image: false });
  }
  for (const version of versions) {
    if (overBytes <= 0) break;
    if (version.leased > 0) continue;
    overBytes -= version.memoryBytes;
    evictions.set(version.key, { key: version.key, sandboxes: version.idle, image: true });
  }
  return { fits: overSandboxes <= 0 && overBytes <= 0, evictions: [...evictions.values()] };
}
