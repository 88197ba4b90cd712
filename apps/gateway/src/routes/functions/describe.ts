import type { Static } from 'typebox';
import type { StoredFunction } from '../../registry/function-registry.js';
import type { StoredVersion } from '../../registry/stored-version.js';
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

export function describeFunction({ name, versions }: StoredFunction): Static<typeof FunctionSchema> {
  const created = versions.map((version) => version.createdAtMs);
  return {
    name,
    latestVersion: versions.at(-1)?.version ?? 0,
    versions: versions.map((version) => version.version),
    createdAtMs: Math.min(...created),
    updatedAtMs: Math.max(...created),
  };
}
