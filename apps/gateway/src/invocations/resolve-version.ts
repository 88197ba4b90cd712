import type { AliasRef, FunctionSettings, ReadinessState } from '@mayfly/contracts';
import { notFound } from '../errors.js';
import { readinessOf, type StoredFunction } from '../registry/stored-function.js';
import type { StoredVersion } from '../registry/stored-version.js';
import { chooseVersion, type Headers } from './choose-version.js';
import type { Qualifier } from './qualifier.js';

/** The version that a call runs, and what holds for the call. */
export interface ResolvedVersion {
  readonly version: StoredVersion;
  readonly settings: FunctionSettings;
  /** Absent: the caller named none. */
  readonly alias?: AliasRef;
  /** Of the version. One that failed can be called: the call ends as its initialisation did. */
  readonly state: ReadinessState;
}

/**
 * What a caller means by a qualifier. Without one it is the newest version that is routable, so that an upload never
 * makes calls wait; an alias, too, sends to what is routable first.
 * @throws MAYFLY_ERR_GATEWAY_NOT_FOUND
 */
export function resolveVersion(
  stored: StoredFunction,
  qualifier: Qualifier,
  headers: Headers,
): ResolvedVersion {
  const { settings } = stored;
  const { version, alias } = choose(stored, qualifier, headers);
  return { version, settings, ...(alias && { alias }), state: readinessOf(stored, version.version) };
}

function choose(
  stored: StoredFunction,
  { version, alias }: Qualifier,
  headers: Headers,
): { version: StoredVersion; alias?: AliasRef } {
  if (alias !== undefined) return chooseByAlias(stored, alias, headers);
  const found =
    version === undefined ? latestOf(stored) : stored.versions.find((one) => one.version === version);
  if (found === undefined) throw notFound(`version ${version} of function ${stored.name}`);
  return { version: found };
}

/** The newest version that is routable; else the newest that may become it; else the newest. */
export function latestOf(stored: StoredFunction): StoredVersion | undefined {
  const newest = (state: ReadinessState) =>
    stored.versions.findLast(({ version }) => readinessOf(stored, version) === state);
  return newest('ready') ?? newest('pending') ?? newest('failed');
}

function chooseByAlias(stored: StoredFunction, name: string, headers: Headers) {
  const alias = stored.aliases.get(name);
  if (alias === undefined) throw notFound(`alias ${name} of function ${stored.name}`);
  const routable = stored.versions.filter(({ version }) => readinessOf(stored, version) === 'ready');
  const version = chooseVersion(alias, routable, headers) ?? chooseVersion(alias, stored.versions, headers);
  if (version === undefined) throw notFound(`version that alias ${name} of function ${stored.name} sends to`);
  return { version, alias: { name, revision: alias.revision } };
}
