/** When an alias turns its newest version off by itself. */
export interface AliasRollback {
  /** Share of its ended calls that may fail, 0 to 1; more turn it off. */
  readonly errorRate: number;
  /** Ended calls within the window below which nothing is decided. */
  readonly minRequests: number;
  /** How far back calls count, in seconds. */
  readonly windowS: number;
}

/** What an automatic roll-back saw. */
export interface AliasRolledBack {
  readonly atMs: number;
  /** Whose weight went to 0. */
  readonly version: number;
  readonly requests: number;
  readonly errors: number;
}

/** A name for one version of a function, or for several that share its calls. */
export interface Alias {
  /** Version number → its share of the calls, a whole number; the shares need not add up to anything. */
  readonly weights: Readonly<Record<string, number>>;
  /** Request header whose value decides for a version, lower-case; absent: each call draws. */
  readonly sticky?: string;
  readonly rollback?: AliasRollback;
  /** The version that was added last: the one that a roll-back turns off. */
  readonly newest: number;
  readonly updatedAtMs: number;
  readonly rolledBack?: AliasRolledBack;
}

/** Which alias brought a call to its version. */
export interface AliasRef {
  readonly name: string;
  /** Of the alias when it chose: calls of another revision do not count for it. */
  readonly revision: number;
}

export const ALIAS_LIMITS = {
  /** Aliases of one function. */
  aliases: 100,
  /** Versions of one alias. */
  versions: 16,
  weight: 1_000_000,
  windowS: 600,
} as const;

/** Each revision of an alias counts its ended calls in buckets of this many seconds. */
export const ALIAS_BUCKET_S = 5;
