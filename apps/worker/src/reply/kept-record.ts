import type { InvocationItem, InvocationRecord } from '@mayfly/contracts';

/** What is on record of a call whose function keeps no results: all but what the guest said. */
export function keptRecord(
  record: InvocationRecord,
  storeResult: InvocationItem['storeResult'],
): InvocationRecord {
  if (storeResult === undefined) return record;
  if (storeResult === 'on-failure' && record.outcome !== 'succeeded') return record;
  const { result: _, ...rest } = record;
  return { ...rest, logTail: '', resultDropped: true };
}
