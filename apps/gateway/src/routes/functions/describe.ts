import type { Static } from 'typebox';
import { etagOf } from '../../registry/precondition.js';
import type { StoredAlias, StoredFunction } from '../../registry/stored-function.js';
import type { StoredVersion } from '../../registry/stored-version.js';
import type { AliasSchema } from '../../schemas/alias.js';
import type { FunctionSchema, VersionSchema } from '../../schemas/function.js';

export function versionPath(name: string, version: number): string {
  return `/v1/functions/${name}/versions/${version}`;
}

export function describeVersion(name: string, stored: StoredVersion): Static<typeof VersionSchema> {
  const { version, artifactSha256, artifactBytes, manifest, createdAtMs } = stored;
  return {
    function: name,
    version,
    sha256: artifactSha256,
    sizeBytes: artifactBytes,
    manifest: manifest as Static<typeof VersionSchema>['manifest'],
    createdAtMs,
  };
}

export function describeFunction(stored: StoredFunction): Static<typeof FunctionSchema> {
  const { name, versions, aliases, settingsRevision } = stored;
  const created = versions.map((version) => version.createdAtMs);
  return {
    name,
    latestVersion: versions.at(-1)?.version ?? 0,
    versions: versions.map((version) => version.version),
    aliases: Object.fromEntries([...aliases].map(([alias, { weights }]) => [alias, { ...weights }])),
    configEtag: etagOf(settingsRevision),
    createdAtMs: Math.min(...created),
    updatedAtMs: Math.max(...created),
  };
}

export function describeAlias(
  name: string,
  alias: string,
  { revision, sticky, weights, ...rest }: StoredAlias,
): Static<typeof AliasSchema> {
  return {
    function: name,
    alias,
    weights: { ...weights },
    ...rest,
    ...(sticky !== undefined && { sticky: `header:${sticky}` }),
    etag: etagOf(revision),
  };
}
