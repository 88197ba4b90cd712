import { TRACE_LIMITS } from '@mayfly/hypervisor';
import { TraceCollector } from '../../../../libs/hypervisor/dist/trace/trace-collector.js';
import { type FuzzTarget, must } from '../target.js';

const RUN_NS = 1000;
/** Two runs of one call, between which a batch is read twice: what is left of the first may meet the second. */
const CLOCKS = [
  { enteredNs: 5000, leftNs: 5000 + RUN_NS, enteredTsc: 100n, leftTsc: 300n },
  { enteredNs: 5000 + RUN_NS, leftNs: 5000 + 2 * RUN_NS, enteredTsc: 400n, leftTsc: 2n ** 63n },
] as const;

/** A trace batch. Every number in it is a guest's. */
export const traceTarget: FuzzTarget = {
  name: 'trace',
  format: 'bytes',
  maxBytes: TRACE_LIMITS.batchBytes,
  run: (input) => {
    const collector = new TraceCollector();
    for (const [index, clock] of CLOCKS.entries()) {
      collector.addRun({ clock } as unknown as Parameters<TraceCollector['addRun']>[0]);
      collector.addBatch(index === 0 ? input : input.subarray(0, input.byteLength - 1));
      collector.addHostCall('HostPrint', true);
    }
    const { spans, events, hostCalls, dropped } = collector.finish();
    must(
      spans.length <= TRACE_LIMITS.spans && events.length <= TRACE_LIMITS.events,
      'more than a call may bring',
    );
    must(hostCalls.length === CLOCKS.length, 'a host call is lost');
    const isIn = (ns: number) => ns >= 0 && ns <= CLOCKS.length * RUN_NS;
    let textLength = 0;
    for (const [index, { parent, startNs, endNs, name, target, fields }] of spans.entries()) {
      must(parent === undefined || (parent >= 0 && parent < index), 'a parent is none of the spans before');
      must(isIn(startNs) && isIn(endNs) && startNs <= endNs, 'a span lies outside of its call');
      must(fields.length <= TRACE_LIMITS.fields, 'a span has more fields than it may');
      textLength += [name, target, ...fields.flat()].reduce((sum, text) => sum + text.length, 0);
    }
    for (const { parent, timeNs, name, fields } of events) {
      must(parent === undefined || spans[parent] !== undefined, 'an event belongs to no span');
      must(isIn(timeNs), 'an event lies outside of its call');
      textLength += [name, ...fields.flat()].reduce((sum, text) => sum + text.length, 0);
    }
    must(textLength <= TRACE_LIMITS.textLength, 'there is more text than a call may bring');
    const nested = spans.filter(({ parent }) => parent !== undefined).length;
    return `${spans.length} ${nested} ${events.length} ${dropped.batches} ${dropped.fields > 0}`;
  },
};
