import type { AliasRef, FunctionSettings } from '@mayfly/contracts';
import { notFound } from '../errors.js';
import type { FunctionCache } from '../registry/function-cache.js';
import type { StoredFunction } from '../registry/stored-function.js';
import type { StoredVersion } from '../registry/stored-version.js';
import { chooseVersion, type Headers } from './choose-version.js';
import type { Qualifier } from './qualifier.js';

export interface VersionName extends Qualifier {
  readonly tenant: string;
  readonly name: string;
  /** Of the request: an alias may go by one of them. */
  readonly headers: Headers;
}

/** The version that a call runs, and what holds for the call. */
export interface ResolvedVersion {
  readonly version: StoredVersion;
  readonly settings: FunctionSettings;
  /** Absent: the caller named none. */
  readonly alias?: AliasRef;
}

/** @throws MAYFLY_ERR_GATEWAY_NOT_FOUND */
export async function resolveVersion(cache: FunctionCache, wanted: VersionName): Promise<ResolvedVersion> {
  const { tenant, name } = wanted;
  const stored = cache.peek(tenant, name) ?? (await cache.get(tenant, name));
  if (stored === undefined) throw notFound(`function ${name}`);
  const { settings } = stored;
  if (wanted.alias !== undefined) return { settings, ...resolveAlias(stored, wanted.alias, wanted.headers) };
  const { version } = wanted;
  const found =
    version === undefined
      ? stored.versions.at(-1)
      : stored.versions.find((candidate) => candidate.version === version);
  if (found === undefined) throw notFound(`version ${version} of function ${name}`);
  return { version: found, settings };
}

function resolveAlias(stored: StoredFunction, name: string, headers: Headers) {
  const alias = stored.aliases.get(name);
  if (alias === undefined) throw notFound(`alias ${name} of function ${stored.name}`);
  const version = chooseVersion(alias, stored.versions, headers);
  if (version === undefined) throw notFound(`version that alias ${name} of function ${stored.name} sends to`);
  return { version, alias: { name, revision: alias.revision } };
}
