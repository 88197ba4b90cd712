import { ATTRIBUTES as A } from '@mayfly/telemetry';
import type { Dashboard } from '../definition.js';
import { legendOf, orZero, perSecond, quantile, shared } from '../promql.js';

/** The way between gateway and workers. */
export const queue: Dashboard = {
  uid: 'mayfly-queue',
  title: 'Mayfly: queue',
  description: 'What waits, for how long, and what moves.',
  rows: [
    {
      title: 'Waiting',
      panels: [
        {
          title: 'Jobs that wait',
          description: 'Added and not taken by a worker yet, by lane.',
          unit: 'count',
          queries: [{ expr: shared('queueDepth', { by: [A.lane] }), legend: legendOf(A.lane) }],
        },
        {
          title: 'Age of the oldest',
          description: 'A line that rises by a second a second is a lane that nobody serves.',
          unit: 'seconds',
          warnAt: 5,
          alarmAt: 30,
          queries: [{ expr: shared('queueOldestAge', { by: [A.lane] }), legend: legendOf(A.lane) }],
        },
        {
          title: 'Time in the queue',
          description: 'Accepted by the gateway to taken by a worker.',
          unit: 'seconds',
          queries: [
            { expr: quantile('queueDuration', 0.5, { by: [A.lane] }), legend: `p50 ${legendOf(A.lane)}` },
            { expr: quantile('queueDuration', 0.99, { by: [A.lane] }), legend: `p99 ${legendOf(A.lane)}` },
          ],
        },
        {
          title: 'Jobs by state',
          description: 'As BullMQ counts them. failed grows only by faults of the host.',
          unit: 'count',
          queries: [
            {
              expr: shared('queueJobs', { by: [A.messagingDestination, A.jobState] }),
              legend: `${legendOf(A.messagingDestination)} ${legendOf(A.jobState)}`,
            },
          ],
        },
      ],
    },
    {
      title: 'Moving',
      panels: [
        {
          title: 'Added and taken',
          description: 'Jobs a second; a job carries the calls of one function that came at once.',
          unit: 'perSecond',
          queries: [
            { expr: perSecond('sentMessages'), legend: 'added' },
            { expr: perSecond('consumedMessages'), legend: 'taken' },
          ],
        },
        {
          title: 'Time to add',
          description: 'What Redis takes for it, as the gateway sees it.',
          unit: 'seconds',
          queries: [
            { expr: quantile('sendDuration', 0.5), legend: 'p50' },
            { expr: quantile('sendDuration', 0.99), legend: 'p99' },
          ],
        },
        {
          title: 'Time of a job',
          description: 'All its calls together.',
          unit: 'seconds',
          queries: [
            { expr: quantile('processDuration', 0.5), legend: 'p50' },
            { expr: quantile('processDuration', 0.99), legend: 'p99' },
          ],
        },
        {
          title: 'No answer in time',
          description: 'Sync calls that no worker answered, by what the caller was told.',
          unit: 'perSecond',
          queries: [
            {
              expr: orZero(perSecond('dispatchFailures', { by: [A.errorType] })),
              legend: `failed ${legendOf(A.errorType)}`,
            },
          ],
        },
      ],
    },
    {
      title: 'Again, given up, called off',
      panels: [
        {
          title: 'Attempts that are followed by another',
          description: 'Async calls, by how the attempt ended. host-fault is ours, the rest are guests.',
          unit: 'perSecond',
          queries: [
            {
              expr: orZero(perSecond('retries', { by: [A.outcome] })),
              legend: `again ${legendOf(A.outcome)}`,
            },
          ],
        },
        {
          title: 'Given up',
          description: 'Async calls that became dead letters, by how their last attempt ended.',
          unit: 'perSecond',
          queries: [
            {
              expr: orZero(perSecond('deadLettered', { by: [A.outcome] })),
              legend: `given up ${legendOf(A.outcome)}`,
            },
          ],
        },
        {
          title: 'Dead letters',
          description: 'Of all tenants: neither redriven nor purged yet.',
          unit: 'count',
          queries: [{ expr: shared('deadLetterDepth'), legend: 'dead letters' }],
        },
        {
          title: 'Age of the oldest dead letter',
          description:
            'A letter is kept for a week; what its tenant wants to redrive must be redriven before.',
          unit: 'seconds',
          warnAt: 86_400,
          alarmAt: 5 * 86_400,
          queries: [{ expr: shared('deadLetterOldestAge'), legend: 'oldest' }],
        },
        {
          title: 'Canceled',
          description: 'request: somebody asked for it. disconnect: the client went away before its answer.',
          unit: 'perSecond',
          queries: [
            {
              expr: orZero(perSecond('cancels', { by: [A.reason] })),
              legend: `canceled ${legendOf(A.reason)}`,
            },
          ],
        },
        {
          title: 'Attempts at callbacks',
          description:
            'delivered, or why not. status is what the receiver answered; the other words are ways that did not lead there.',
          unit: 'perSecond',
          queries: [
            {
              expr: orZero(perSecond('callbackAttempts', { by: [A.reason] })),
              legend: `callback ${legendOf(A.reason)}`,
            },
          ],
        },
      ],
    },
  ],
};
