import { createHash } from 'node:crypto';
import { DEFAULT_MEMORY, type FunctionRef, type KvmKind, LIMITS, type Manifest } from '@mayfly/contracts';

/** One version of a function as the registry keeps it; immutable. */
export interface StoredVersion {
  readonly version: number;
  readonly artifactSha256: string;
  readonly artifactBytes: number;
  /** Defaults applied. `entrypoints` is empty when the upload had no manifest. */
  readonly manifest: Manifest;
  readonly createdAtMs: number;
}

export type NewVersion = Omit<StoredVersion, 'version'>;

/** What a version without a manifest gets. */
export const DEFAULT_MANIFEST: Manifest = {
  runtime: 'guest-abi',
  entrypoints: {},
  memory: DEFAULT_MEMORY,
  timeoutMs: LIMITS.defaultTimeoutMs,
};

/** Equal for uploads that would make the same version: same artifact, same resolved manifest. */
export function fingerprint(version: NewVersion): string {
  const text = `${version.artifactSha256}\n${canonical(version.manifest)}`;
  return createHash('sha256').update(text).digest('hex');
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`);
  return `{${fields.join(',')}}`;
}

export function functionRef(
  tenant: string,
  name: string,
  version: StoredVersion,
  requiresKvm: KvmKind | undefined,
): FunctionRef {
  return {
    tenant,
    name,
    version: version.version,
    artifactSha256: version.artifactSha256,
    artifactBytes: version.artifactBytes,
    memory: version.manifest.memory,
    ...(requiresKvm !== undefined && { requiresKvm }),
  };
}
