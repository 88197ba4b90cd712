import type { FunctionRef } from './job.js';

/** A worker that stopped answering while these versions were in its guests. */
export interface HostDeath {
  /** When it was noticed, by Redis's clock. */
  readonly atMs: number;
  readonly workerId: string;
  /** As `versionKey` names them. */
  readonly versions: readonly string[];
}

/** Why no worker runs a version. */
export interface Quarantine {
  readonly atMs: number;
  /** The workers that died while it ran. */
  readonly workerIds: readonly string[];
}

/** Deaths further apart have nothing to do with each other. */
export const DEATH_WINDOW_MS = 10 * 60_000;

type VersionId = Pick<FunctionRef, 'tenant' | 'name' | 'version'>;

/** Names a version across tenants; none of the parts can hold a space. */
export const versionKey = ({ tenant, name, version }: VersionId): string => `${tenant} ${name} ${version}`;

export function parseVersionKey(key: string): VersionId | undefined {
  const [tenant, name, version, more] = key.split(' ');
  if (tenant === undefined || name === undefined || !/^[1-9]\d{0,14}$/.test(version ?? '')) return undefined;
  return more === undefined ? { tenant, name, version: Number(version) } : undefined;
}

export function parseQuarantine(text: string): Quarantine | undefined {
  try {
    const { atMs, workerIds } = JSON.parse(text) as Partial<Quarantine>;
    if (!Number.isFinite(atMs) || !Array.isArray(workerIds)) return undefined;
    return { atMs: Number(atMs), workerIds: workerIds.map(String) };
  } catch {
    return undefined;
  }
}
