import { ATTRIBUTES as A } from '@mayfly/telemetry';
import type { Dashboard } from '../definition.js';
import { legendOf, matches, orZero, perSecond, quantile, sumPerSecond, total } from '../promql.js';
import { failed, tenantVariable } from './choices.js';

const where = matches(A.tenant, '$tenant');
const by = [A.tenant];
const legend = legendOf(A.tenant);

/** One tenant, or who takes what: for support, and for who is asked to pay. */
export const tenants: Dashboard = {
  uid: 'mayfly-tenant',
  title: 'Mayfly: tenant',
  description: 'The busiest tenants; what is beyond them counts as "other".',
  variables: [tenantVariable],
  rows: [
    {
      title: 'Use',
      panels: [
        {
          title: 'Invocations',
          description: 'All that ended.',
          unit: 'perSecond',
          queries: [{ expr: perSecond('functionInvocations', { where, by }), legend }],
        },
        {
          title: 'CPU',
          description: 'Cores that the guests of each tenant keep busy.',
          unit: 'count',
          queries: [{ expr: perSecond('functionCpu', { where, by }), legend }],
        },
        {
          title: 'Sync calls that wait',
          description: 'Callers with an open connection.',
          unit: 'count',
          queries: [{ expr: orZero(total('tenantInFlight', { where, by })), legend }],
        },
        {
          title: 'Calls in progress',
          description: 'Mean number, sync and async: seconds of calls a second.',
          unit: 'count',
          queries: [{ expr: sumPerSecond('functionDuration', { where, by }), legend }],
        },
      ],
    },
    {
      title: 'Trouble',
      panels: [
        {
          title: 'By outcome',
          description: 'Which ends the calls have.',
          unit: 'perSecond',
          queries: [
            {
              expr: perSecond('functionInvocations', { where, by: [A.outcome] }),
              legend: legendOf(A.outcome),
            },
          ],
        },
        {
          title: 'Refused',
          description: 'Calls that were not let in, by reason and the limit that they met.',
          unit: 'perSecond',
          queries: [
            {
              expr: orZero(perSecond('tenantThrottled', { where, by: [A.tenant, A.reason, A.limit] })),
              legend: `${legend} ${legendOf(A.reason)} ${legendOf(A.limit)}`,
            },
          ],
        },
        {
          title: 'Duration, p99',
          description: 'From acceptance to result.',
          unit: 'seconds',
          queries: [{ expr: quantile('functionDuration', 0.99, { where, by }), legend }],
        },
        {
          title: 'Failing functions',
          description: 'Calls that do not succeed, most first.',
          unit: 'perSecond',
          kind: 'table',
          queries: [
            {
              expr: `topk(10, ${perSecond('functionInvocations', { where: `${where},${failed}`, by: [A.tenant, A.faasName] })})`,
              legend: `${legend}/${legendOf(A.faasName)}`,
            },
          ],
        },
      ],
    },
  ],
};
