import {
  type Alias,
  DEFAULT_SETTINGS,
  type FunctionSettings,
  type Readiness,
  type ReadinessState,
} from '@mayfly/contracts';
import type { NewVersion, StoredVersion } from './stored-version.js';

/** An alias as the registry keeps it. */
export interface StoredAlias extends Alias {
  readonly revision: number;
}

/** A function and its versions, lowest first; at least one. */
export interface StoredFunction {
  readonly name: string;
  readonly versions: readonly StoredVersion[];
  /** Defaults applied. */
  readonly settings: FunctionSettings;
  /** Of the settings. 0: they were never written. */
  readonly settingsRevision: number;
  /** By name. */
  readonly aliases: ReadonlyMap<string, StoredAlias>;
  /** By version; one that is missing is ready. */
  readonly readiness: ReadonlyMap<number, Readiness>;
}

/** @param fields of the function's hash (contracts/redis-keys). @returns undefined when it has no version. */
export function parseFunction(
  name: string,
  fields: Readonly<Record<string, string>>,
): StoredFunction | undefined {
  const versions: StoredVersion[] = [];
  const aliases = new Map<string, StoredAlias>();
  const readiness = new Map<number, Readiness>();
  for (const [field, text] of Object.entries(fields)) {
    if (/^v\d+$/.test(field)) versions.push(parseVersion(Number(field.slice(1)), text));
    else if (/^r\d+$/.test(field)) readiness.set(Number(field.slice(1)), JSON.parse(text) as Readiness);
    else if (field.startsWith('a:')) {
      const alias = field.slice(2);
      const revision = Number(fields[`ar:${alias}`] ?? 0);
      aliases.set(alias, { ...(JSON.parse(text) as Alias), revision });
    }
  }
  if (versions.length === 0) return undefined;
  const own = JSON.parse(fields['settings'] ?? '{}') as Partial<FunctionSettings>;
  return {
    name,
    versions: versions.sort((a, b) => a.version - b.version),
    settings: { ...DEFAULT_SETTINGS, ...own },
    settingsRevision: Number(fields['settingsRev'] ?? 0),
    aliases: new Map([...aliases].sort(([a], [b]) => (a < b ? -1 : 1))),
    readiness,
  };
}

export function parseVersion(version: number, text: string): StoredVersion {
  return { version, ...(JSON.parse(text) as NewVersion) };
}

/** Whether the first worker has the version's snapshot, none has yet, or none can. */
export function readinessOf({ readiness }: StoredFunction, version: number): ReadinessState {
  return readiness.get(version)?.state ?? 'ready';
}
