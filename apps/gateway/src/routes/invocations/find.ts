import { notFound } from '../../errors.js';
import type { KnownInvocation } from '../../invocations/invocation-store.js';
import type { Services } from '../../services.js';

export interface FoundInvocation {
  readonly known: KnownInvocation;
  /** Whether a worker has taken it; false once it has ended. */
  readonly running: boolean;
}

/**
 * Reads an invocation. A queued one whose job has failed for good, or is gone without a record, ends here: no worker
 * will put its end on record.
 * @throws MAYFLY_ERR_GATEWAY_NOT_FOUND
 */
export async function findInvocation(
  { store, producer }: Services,
  tenant: string,
  invocationId: string,
): Promise<FoundInvocation> {
  const known = await store.find(tenant, invocationId);
  if (known === undefined) throw notFound(`invocation ${invocationId}`);
  if (known.ended !== undefined || known.accepted === undefined) return { known, running: false };
  const place = await producer.place('async', invocationId);
  if (place === 'waiting' || place === 'running') return { known, running: place === 'running' };
  // The job may have ended between the two looks: its record was written before.
  const again = await store.find(tenant, invocationId);
  if (again?.ended !== undefined) return { known: again, running: false };
  const ended = await store.writeTerminal(known.accepted, tenant, {
    code: 'MAYFLY_ERR_GATEWAY_CALL_LOST',
    message: 'every attempt was ended by a fault of its host',
  });
  return { known: { ...known, ended }, running: false };
}
