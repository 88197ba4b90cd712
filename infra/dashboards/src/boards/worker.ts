import { ATTRIBUTES as A } from '@mayfly/telemetry';
import type { Dashboard } from '../definition.js';
import {
  equals,
  legendOf,
  orZero,
  perSecond,
  quantile,
  seriesOf,
  shareOf,
  total,
  WINDOW,
} from '../promql.js';

const worker = equals('job', 'mayfly-worker');

/** The hosts that run guests: slots, sandboxes, snapshots, memory. */
export const workers: Dashboard = {
  uid: 'mayfly-worker',
  title: 'Mayfly: workers and VM pool',
  description: 'Slots, sandboxes, restores and memory of the workers.',
  rows: [
    {
      title: 'Slots and sandboxes',
      panels: [
        {
          title: 'Slots',
          description: 'vCPU threads: all busy means that calls wait.',
          unit: 'count',
          width: 4,
          queries: [{ expr: total('vmSlots', { by: [A.vmState] }), legend: legendOf(A.vmState) }],
        },
        {
          title: 'Sandboxes',
          description: 'leased: in a call. idle: restored, or about to be, and ready.',
          unit: 'count',
          width: 4,
          queries: [
            { expr: total('poolSandboxes', { by: [A.vmState] }), legend: legendOf(A.vmState) },
            { expr: total('poolSandboxesLimit'), legend: 'limit' },
          ],
        },
        {
          title: 'Pool memory in use',
          description: 'Of what the pool may hold. When it is full, idle sandboxes give way.',
          unit: 'share',
          width: 4,
          warnAt: 0.85,
          alarmAt: 0.97,
          queries: [{ expr: shareOf(total('poolMemory'), total('poolMemoryLimit')), legend: 'in use' }],
        },
      ],
    },
    {
      title: 'Restores',
      panels: [
        {
          title: 'Restore',
          description: 'Time to bring a sandbox back to its snapshot.',
          unit: 'seconds',
          queries: [
            { expr: quantile('restoreDuration', 0.5), legend: 'p50' },
            { expr: quantile('restoreDuration', 0.99), legend: 'p99' },
          ],
        },
        {
          title: 'Pages copied back',
          description: 'What calls wrote to: the cost of a restore follows it.',
          unit: 'count',
          queries: [
            { expr: quantile('dirtyPages', 0.5), legend: 'p50' },
            { expr: quantile('dirtyPages', 0.99), legend: 'p99' },
          ],
        },
        {
          title: 'VM exits of an invocation',
          description: 'One is a plain call; each host function adds one.',
          unit: 'count',
          queries: [
            { expr: `${perSecond('vmExits')} / (${perSecond('invokeDuration')} > 0)`, legend: 'exits' },
          ],
        },
        {
          title: 'Guest memory written by an invocation',
          description: 'p99 of all invocations.',
          unit: 'bytes',
          queries: [{ expr: quantile('memoryUsage', 0.99), legend: 'p99' }],
        },
      ],
    },
    {
      title: 'Versions',
      panels: [
        {
          title: 'Initialised versions',
          description: 'Versions whose snapshot a worker holds.',
          unit: 'count',
          width: 4,
          queries: [{ expr: total('poolVersions'), legend: 'versions' }],
        },
        {
          title: 'Calls that waited for initialisation',
          description: 'Share of invocations whose version was not initialised yet.',
          unit: 'share',
          width: 4,
          warnAt: 0.05,
          queries: [
            {
              expr: shareOf(
                orZero(perSecond('snapshotMisses')),
                `${orZero(perSecond('snapshotHits'))} + ${orZero(perSecond('snapshotMisses'))}`,
              ),
              legend: 'waited',
            },
          ],
        },
        {
          title: 'Initialisation, p99',
          description: 'Time to initialise a version and take its snapshot, by how it ended.',
          unit: 'seconds',
          width: 4,
          queries: [
            {
              expr: quantile('snapshotBuildDuration', 0.99, { by: [A.outcome], window: '1h' }),
              legend: legendOf(A.outcome),
            },
          ],
        },
      ],
    },
    {
      title: 'Processes',
      panels: [
        {
          title: 'Memory',
          description: 'Resident memory of each worker.',
          unit: 'bytes',
          width: 4,
          queries: [
            { expr: `sum by (instance) (${seriesOf('residentMemory')}{${worker}})`, legend: '{{instance}}' },
          ],
        },
        {
          title: 'CPU',
          description: 'Cores in use by each worker, guests included.',
          unit: 'count',
          width: 4,
          queries: [
            {
              expr: `sum by (instance) (rate(${seriesOf('cpuTime')}{${worker}}[${WINDOW}]))`,
              legend: '{{instance}}',
            },
          ],
        },
        {
          title: 'Faults of the host',
          description: 'By error code; see docs/errors.md.',
          unit: 'perSecond',
          width: 4,
          queries: [
            {
              expr: orZero(perSecond('hostFaults', { by: [A.errorType] })),
              legend: `faults ${legendOf(A.errorType)}`,
            },
          ],
        },
        {
          title: 'Busy event loop',
          description: 'Share of time; above 0.8 calls wait for JavaScript.',
          unit: 'share',
          width: 6,
          warnAt: 0.8,
          alarmAt: 0.95,
          queries: [
            {
              expr: `max by (instance) (${seriesOf('eventLoopUtilization')}{${worker}})`,
              legend: '{{instance}}',
            },
          ],
        },
        {
          title: 'Telemetry that was lost',
          description: 'Spans and log records that did not reach the collector.',
          unit: 'perSecond',
          width: 6,
          queries: [
            {
              expr: orZero(perSecond('telemetryDropped', { by: [A.signal] })),
              legend: `lost ${legendOf(A.signal)}`,
            },
          ],
        },
      ],
    },
  ],
};
