import { DEATH_WINDOW_MS, type HostDeath, type Quarantine } from '@mayfly/contracts';

export interface VerdictOptions {
  /** Deaths that have to single a version out. */
  readonly deaths: number;
  readonly nowMs: number;
  /** Version → when an operator lifted its quarantine: what was before is forgiven. */
  readonly liftedAtMs: ReadonlyMap<string, number>;
}

/**
 * The versions that hosts die of, by what was in flight at their deaths. A version is singled out when nothing but it
 * was in flight at each of its last `deaths` deaths, so that one that only ran beside the culprit goes free: another
 * was there each time, too. Where the same versions always run together nothing singles one out; at twice as many
 * deaths and one more, all that were there each time are stopped, for the hosts' sake.
 */
export function verdicts(deaths: readonly HostDeath[], options: VerdictOptions): Map<string, Quarantine> {
  const { nowMs, liftedAtMs } = options;
  const suspects = new Map<string, HostDeath[]>();
  const recent = deaths.filter(({ atMs }) => atMs > nowMs - DEATH_WINDOW_MS);
  for (const death of [...recent].sort((a, b) => a.atMs - b.atMs))
    for (const version of new Set(death.versions)) {
      if (death.atMs <= (liftedAtMs.get(version) ?? 0)) continue;
      const known = suspects.get(version);
      if (known) known.push(death);
      else suspects.set(version, [death]);
    }
  const found = new Map<string, Quarantine>();
  for (const [version, its] of suspects) {
    if (!isSingledOut(its, options.deaths) && its.length < 2 * options.deaths + 1) continue;
    found.set(version, { atMs: nowMs, workerIds: its.map(({ workerId }) => workerId) });
  }
  return found;
}

function isSingledOut(its: readonly HostDeath[], deaths: number): boolean {
  if (its.length < deaths) return false;
  const [first, ...others] = its.slice(-deaths).map(({ versions }) => new Set(versions));
  const common = [...(first ?? [])].filter((version) => others.every((versions) => versions.has(version)));
  return common.length === 1;
}
