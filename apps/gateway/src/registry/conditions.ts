import type { Quarantine, Readiness } from '@mayfly/contracts';
import type { StoredFunction } from './stored-function.js';
import type { StoredVersion } from './stored-version.js';

/** One of the steps of a version on its way to its calls. */
export interface Condition {
  readonly type: 'Uploaded' | 'Validated' | 'SnapshotReady' | 'Routable';
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  /** RFC 3339. */
  readonly lastTransition: string;
}

export function conditionsOf(
  { readiness }: StoredFunction,
  { version, createdAtMs }: StoredVersion,
  quarantine: Quarantine | undefined,
): Condition[] {
  const known: Readiness = readiness.get(version) ?? { state: 'ready', atMs: createdAtMs };
  const at = (ms: number) => new Date(ms).toISOString();
  const snapshot = snapshotOf(known);
  return [
    {
      ...{ type: 'Uploaded', status: 'True', reason: 'Stored', lastTransition: at(createdAtMs) },
      message: 'The binary is in the blob store',
    },
    {
      ...{ type: 'Validated', status: 'True', reason: 'ElfAccepted', lastTransition: at(createdAtMs) },
      message: 'Binary and manifest are what can run here',
    },
    { type: 'SnapshotReady', ...snapshot, lastTransition: at(known.atMs) },
    quarantine === undefined
      ? { type: 'Routable', ...routableOf(known, snapshot), lastTransition: at(known.atMs) }
      : {
          ...{ type: 'Routable', status: 'False', reason: 'Quarantined' },
          message: `Workers died while it ran: ${quarantine.workerIds.join(', ')}`,
          lastTransition: at(quarantine.atMs),
        },
  ];
}

type Step = Pick<Condition, 'status' | 'reason' | 'message'>;

function snapshotOf({ state, workerId, message }: Readiness): Step {
  if (state === 'ready') {
    const who = workerId === undefined ? 'a worker' : workerId;
    return { status: 'True', reason: 'SnapshotTaken', message: `${who} was the first to have it` };
  }
  if (state === 'failed')
    return { status: 'False', reason: 'InitialisationFailed', message: message ?? 'The guest did not start' };
  return {
    status: 'Unknown',
    reason: 'Preparing',
    message: 'No worker has said yet that it has the snapshot',
  };
}

function routableOf({ state }: Readiness, snapshot: Step): Step {
  if (state === 'ready')
    return { status: 'True', reason: 'SnapshotReady', message: 'Calls find a snapshot that is there' };
  return { ...snapshot, status: 'False' };
}
