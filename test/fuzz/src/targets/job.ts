import { isInvocationId, LIMITS } from '@mayfly/contracts';
import { parseJob } from '../../../../apps/worker/dist/job-parser.js';
import { type FuzzTarget, must } from '../target.js';

/** A job as BullMQ hands it to a worker. */
export const jobTarget: FuzzTarget = {
  name: 'job',
  format: 'json',
  run: (input) => {
    const data = jsonOf(input);
    if (data === undefined) return 'no JSON';
    const { items, badItems, function: version } = parseJob(data.value);
    must(version.artifactBytes <= LIMITS.artifactBytes, 'a size is over its limit');
    must(items.length + badItems.length <= LIMITS.invocationsPerJob, 'more items than a job may have');
    for (const item of items) must(item.timeoutMs <= LIMITS.timeoutMs, 'a timeout is over its limit');
    for (const { invocationId } of [...items, ...badItems])
      must(isInvocationId(invocationId), 'an id is none');
    return `${items.length} good: ${badItems.map(({ problem }) => problem)}`;
  },
};

/** A document, for targets whose callers parse JSON themselves; `undefined` when it is none. */
function jsonOf(input: Uint8Array): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(Buffer.from(input).toString('utf8')) };
  } catch {
    return undefined;
  }
}
