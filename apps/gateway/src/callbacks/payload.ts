import { describeInvocation } from '../invocations/describe.js';
import type { KnownInvocation } from '../invocations/invocation-store.js';

/**
 * What a callback tells: the invocation as `GET /v1/invocations/{id}` shows it, with a result that is inside of its
 * record (8 KiB at most); a larger one is behind `links.result`.
 * @returns undefined for a call that has not ended
 */
export function callbackBody(known: KnownInvocation): string | undefined {
  const { ended } = known;
  const view = describeInvocation(known, false);
  if (ended === undefined || view === undefined) return undefined;
  const { result } = ended;
  return JSON.stringify({
    type: `invocation.${view.state}`,
    timestamp: new Date(ended.finishedAtMs).toISOString(),
    data: { ...view, ...(result?.kind === 'inline' && { result: result.value }) },
  });
}
