import { hash, randomInt } from 'node:crypto';
import type { StoredAlias } from '../registry/stored-function.js';
import type { StoredVersion } from '../registry/stored-version.js';

/** Bits of a hash that decide; a share is exact to one in 2^32 then. */
const HASH_RANGE = 2 ** 32;

/** Values of request headers, by lower-case name. */
export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/**
 * The version that an alias sends a call to, of those that it may. With a sticky header the same value always gets the
 * same version, on every gateway; when weights move, only the share that moved changes its version.
 * @param candidates lowest first
 * @returns undefined when none of them has a weight
 */
export function chooseVersion(
  alias: StoredAlias,
  candidates: readonly StoredVersion[],
  headers: Headers,
): StoredVersion | undefined {
  const weighted = candidates.flatMap((version) => {
    const weight = alias.weights[version.version] ?? 0;
    return weight > 0 ? [{ version, weight }] : [];
  });
  const total = weighted.reduce((sum, { weight }) => sum + weight, 0);
  if (weighted.length < 2) return weighted[0]?.version;
  const value = alias.sticky === undefined ? undefined : headers[alias.sticky];
  const point = value === undefined ? randomInt(total) : (hashOf(String(value)) / HASH_RANGE) * total;
  let end = 0;
  for (const { version, weight } of weighted) {
    end += weight;
    if (point < end) return version;
  }
  return weighted.at(-1)?.version;
}

function hashOf(value: string): number {
  return hash('sha256', value, 'buffer').readUInt32BE(0);
}
