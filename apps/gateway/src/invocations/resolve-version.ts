import { notFound } from '../errors.js';
import type { FunctionCache } from '../registry/function-cache.js';
import type { StoredVersion } from '../registry/stored-version.js';

export interface VersionName {
  readonly tenant: string;
  readonly name: string;
  /** Absent: the latest. */
  readonly version?: number | undefined;
}

/** @throws MAYFLY_ERR_GATEWAY_NOT_FOUND */
export async function resolveVersion(cache: FunctionCache, wanted: VersionName): Promise<StoredVersion> {
  const { tenant, name, version } = wanted;
  const stored = cache.peek(tenant, name) ?? (await cache.get(tenant, name));
  if (stored === undefined) throw notFound(`function ${name}`);
  const found =
    version === undefined
      ? stored.versions.at(-1)
      : stored.versions.find((candidate) => candidate.version === version);
  if (found === undefined) throw notFound(`version ${version} of function ${name}`);
  return found;
}
