import { ATTRIBUTES as A } from '@mayfly/telemetry';
import type { Dashboard } from '../definition.js';
import {
  equals,
  legendOf,
  orZero,
  perSecond,
  quantile,
  seriesOf,
  shared,
  shareOf,
  total,
  WINDOW,
} from '../promql.js';

/** The page to keep open: is it used, does it fail, is it slow, is it full. */
export const overview: Dashboard = {
  uid: 'mayfly-overview',
  title: 'Mayfly: overview',
  description: 'Rate, errors, duration and saturation of the whole service.',
  rows: [
    {
      title: 'Now',
      panels: [
        {
          title: 'Invocations',
          description: 'All that ended, successful or not.',
          unit: 'perSecond',
          kind: 'stat',
          width: 3,
          queries: [{ expr: perSecond('invokeDuration'), legend: 'invocations' }],
        },
        {
          title: 'Not successful',
          description:
            'Share of invocations with any other outcome. Guests fail, too: look at the outcomes below.',
          unit: 'share',
          kind: 'stat',
          width: 3,
          warnAt: 0.02,
          alarmAt: 0.1,
          queries: [
            {
              expr: shareOf(orZero(perSecond('errors')), perSecond('invokeDuration')),
              legend: 'not successful',
            },
          ],
        },
        {
          title: 'Slots in use',
          description: 'Calls that run, of those that can run at once. At 1 every further call waits.',
          unit: 'share',
          kind: 'stat',
          width: 3,
          warnAt: 0.8,
          alarmAt: 0.95,
          queries: [
            {
              expr: shareOf(total('vmSlots', { where: equals(A.vmState, 'busy') }), total('vmSlots')),
              legend: 'busy',
            },
          ],
        },
        {
          title: 'Workers',
          description: 'Workers whose heartbeat is fresh.',
          unit: 'count',
          kind: 'stat',
          width: 3,
          queries: [{ expr: shared('workersAlive'), legend: 'workers' }],
        },
      ],
    },
    {
      title: 'Rate and errors',
      panels: [
        {
          title: 'Invocations by outcome',
          description: 'The words are those of the API. host-fault is ours, the rest is what guests did.',
          unit: 'perSecond',
          queries: [{ expr: perSecond('invokeDuration', { by: [A.outcome] }), legend: legendOf(A.outcome) }],
        },
        {
          title: 'HTTP answers by status',
          description: '429 and 503 are refusals, 502 and 504 are ends of guests.',
          unit: 'perSecond',
          queries: [
            { expr: perSecond('httpDuration', { by: [A.httpStatus] }), legend: legendOf(A.httpStatus) },
          ],
        },
        {
          title: 'Faults of the host',
          description: 'Ours to repair, whatever the guests do.',
          unit: 'perSecond',
          width: 6,
          queries: [
            { expr: orZero(perSecond('hostFaults')), legend: 'worker' },
            { expr: orZero(perSecond('dispatchFailures')), legend: 'no worker answered' },
          ],
        },
        {
          title: 'Refused at the door',
          description:
            'Calls that were not let in, by reason and limit. saturated is the platform, too-many-requests a tenant.',
          unit: 'perSecond',
          queries: [
            {
              expr: orZero(perSecond('tenantThrottled', { by: [A.reason, A.limit] })),
              legend: `refused ${legendOf(A.reason)} ${legendOf(A.limit)}`,
            },
          ],
        },
      ],
    },
    {
      title: 'Duration',
      panels: [
        {
          title: 'Duration of invocations',
          description: 'From acceptance by the gateway to the result.',
          unit: 'seconds',
          queries: [
            { expr: quantile('invokeDuration', 0.5), legend: 'p50' },
            { expr: quantile('invokeDuration', 0.99), legend: 'p99' },
          ],
        },
        {
          title: 'Where the time goes: p99 of each phase',
          description: 'queue: no worker free. acquire: no sandbox ready. run: the guest itself.',
          unit: 'seconds',
          queries: [{ expr: quantile('phaseDuration', 0.99, { by: [A.phase] }), legend: legendOf(A.phase) }],
        },
        {
          title: 'What the platform adds',
          description: 'Total less run: the number to judge Mayfly by.',
          unit: 'seconds',
          queries: [
            { expr: quantile('overheadDuration', 0.5), legend: 'p50' },
            { expr: quantile('overheadDuration', 0.99), legend: 'p99' },
          ],
        },
        {
          title: 'Cold starts',
          description: 'snapshot: a sandbox was made. boot: the version was initialised, too.',
          unit: 'perSecond',
          queries: [{ expr: perSecond('coldstarts', { by: [A.vmSource] }), legend: legendOf(A.vmSource) }],
        },
      ],
    },
    {
      title: 'Saturation',
      panels: [
        {
          title: 'Jobs that wait',
          description: 'A line that does not come back to 0 is too few slots.',
          unit: 'count',
          width: 4,
          queries: [{ expr: shared('queueDepth', { by: [A.lane] }), legend: legendOf(A.lane) }],
        },
        {
          title: 'Event loops',
          description: 'Share of time that the busiest event loop of each process was busy.',
          unit: 'share',
          width: 4,
          warnAt: 0.8,
          alarmAt: 0.95,
          queries: [{ expr: `max by (job) (${seriesOf('eventLoopUtilization')})`, legend: '{{job}}' }],
        },
        {
          title: 'CPU',
          description: 'Cores in use by each kind of process.',
          unit: 'count',
          width: 4,
          queries: [{ expr: `sum by (job) (rate(${seriesOf('cpuTime')}[${WINDOW}]))`, legend: '{{job}}' }],
        },
      ],
    },
  ],
};
