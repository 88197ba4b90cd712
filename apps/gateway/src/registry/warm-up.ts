import { randomBytes } from 'node:crypto';
import type { FunctionRef, ReadinessReport } from '@mayfly/contracts';
import type { Hosts } from '../dispatch/hosts.js';
import type { FunctionRegistry } from './function-registry.js';
import type { ReadinessListener } from './readiness-listener.js';

export interface WarmHost {
  readonly workerId: string;
  /** `unavailable`: the host could not, another may. `no-answer`: none within the time. */
  readonly state: ReadinessReport['state'] | 'no-answer';
  /** 0 when it had the snapshot already. */
  readonly tookMs?: number;
  readonly message?: string;
}

export interface WarmUpDeps {
  readonly registry: FunctionRegistry;
  readonly hosts: Pick<Hosts, 'live'>;
  readonly readiness: ReadinessListener;
}

/**
 * Has every live worker that may run a version prepare its snapshot.
 * @param waitMs for the answers
 * @returns what each of them said, by worker id
 */
export async function warmUp(
  { registry, hosts, readiness }: WarmUpDeps,
  ref: FunctionRef,
  waitMs: number,
): Promise<WarmHost[]> {
  const live = await hosts.live();
  const asked = live.filter(({ kvm }) => ref.requiresKvm === undefined || ref.requiresKvm === kvm);
  const answers = new Map<string, WarmHost>();
  if (asked.length === 0) return [];
  const warmId = randomBytes(16).toString('hex');
  let allSaid = (): void => undefined;
  const said = new Promise<void>((resolve) => {
    allSaid = resolve;
  });
  const timer = setTimeout(allSaid, waitMs);
  const stop = readiness.onReport(({ workerId, state, tookMs, message, ...report }) => {
    if (report.warmId !== warmId) return;
    answers.set(workerId, {
      ...{ workerId, state },
      ...(tookMs !== undefined && { tookMs }),
      ...(message !== undefined && { message }),
    });
    if (asked.every((host) => answers.has(host.workerId))) allSaid();
  });
  try {
    await registry.order({ ...ref, warmId });
    await said;
  } finally {
    clearTimeout(timer);
    stop();
  }
  for (const { workerId } of asked)
    if (!answers.has(workerId)) answers.set(workerId, { workerId, state: 'no-answer' });
  return [...answers.values()].sort((a, b) => (a.workerId < b.workerId ? -1 : 1));
}
