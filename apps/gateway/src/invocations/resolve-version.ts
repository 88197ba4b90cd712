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
  readonly state: VersionState;
}

/** `quarantined`: no worker runs it. */
export type VersionState = ReadinessState | 'quarantined';

/** How a version of the function is. */
export type StateOf = (version: number) => VersionState;

export interface ResolveContext {
  /** Of the request: an alias may go by one of them. */
  readonly headers: Headers;
  readonly isQuarantined: (version: number) => boolean;
}

interface Choice {
  readonly stored: StoredFunction;
  readonly stateOf: StateOf;
  readonly headers: Headers;
}

/**
 * What a caller means by a qualifier. Without one it is the newest version that is routable, so that an upload never
 * makes calls wait; an alias, too, sends to what is routable first.
 * @throws MAYFLY_ERR_GATEWAY_NOT_FOUND
 */
export function resolveVersion(
  stored: StoredFunction,
  qualifier: Qualifier,
  { headers, isQuarantined }: ResolveContext,
): ResolvedVersion {
  const { settings } = stored;
  const stateOf: StateOf = (version) =>
    isQuarantined(version) ? 'quarantined' : readinessOf(stored, version);
  const { version, alias } = choose({ stored, stateOf, headers }, qualifier);
  return { version, settings, ...(alias && { alias }), state: stateOf(version.version) };
}

function choose(choice: Choice, { version, alias }: Qualifier): { version: StoredVersion; alias?: AliasRef } {
  const { stored } = choice;
  if (alias !== undefined) return chooseByAlias(choice, alias);
  const found =
    version === undefined ? latestOf(choice) : stored.versions.find((one) => one.version === version);
  if (found === undefined) throw notFound(`version ${version} of function ${stored.name}`);
  return { version: found };
}

/** The newest version that is routable; else the newest that may become it; else the newest. */
function latestOf({ stored, stateOf }: Choice): StoredVersion | undefined {
  const newest = (state: VersionState) =>
    stored.versions.findLast(({ version }) => stateOf(version) === state);
  return newest('ready') ?? newest('pending') ?? newest('failed') ?? newest('quarantined');
}

function chooseByAlias({ stored, stateOf, headers }: Choice, name: string) {
  const alias = stored.aliases.get(name);
  if (alias === undefined) throw notFound(`alias ${name} of function ${stored.name}`);
  const routable = stored.versions.filter(({ version }) => stateOf(version) === 'ready');
  const version = chooseVersion(alias, routable, headers) ?? chooseVersion(alias, stored.versions, headers);
  if (version === undefined) throw notFound(`version that alias ${name} of function ${stored.name} sends to`);
  return { version, alias: { name, revision: alias.revision } };
}
