import { ATTRIBUTES as A } from '@mayfly/telemetry';
import type { Dashboard } from '../definition.js';
import { legendOf, matches, mean, perSecond, quantile, shareOf, sumPerSecond } from '../promql.js';
import { failed, functionVariable, tenantVariable } from './choices.js';

const where = `${matches(A.tenant, '$tenant')},${matches(A.faasName, '$function')}`;
const by = [A.tenant, A.faasName];
const legend = `${legendOf(A.tenant)}/${legendOf(A.faasName)}`;

const calls = perSecond('functionInvocations', { where, by });
const failures = perSecond('functionInvocations', { where: `${where},${failed}`, by });

/** One function, or some: what its owner asks for. */
export const functions: Dashboard = {
  uid: 'mayfly-function',
  title: 'Mayfly: function',
  description: 'The busiest functions; what is beyond them counts as "other".',
  variables: [tenantVariable, functionVariable],
  rows: [
    {
      title: 'Calls',
      panels: [
        {
          title: 'Invocations',
          description: 'All that ended.',
          unit: 'perSecond',
          queries: [{ expr: calls, legend }],
        },
        {
          title: 'By outcome',
          description: 'How the calls of the chosen functions end.',
          unit: 'perSecond',
          queries: [
            {
              expr: perSecond('functionInvocations', { where, by: [A.outcome] }),
              legend: legendOf(A.outcome),
            },
          ],
        },
        {
          title: 'Not successful',
          description: 'Share of the calls of each function.',
          unit: 'share',
          kind: 'table',
          warnAt: 0.05,
          alarmAt: 0.25,
          queries: [{ expr: `(${failures} or 0 * ${calls}) / (${calls} > 0)`, legend }],
        },
        {
          title: 'All failing functions, share of all calls',
          description: 'How much of the traffic of the chosen functions does not succeed.',
          unit: 'share',
          queries: [
            {
              expr: shareOf(
                perSecond('functionInvocations', { where: `${where},${failed}` }),
                perSecond('functionInvocations', { where }),
              ),
              legend: 'not successful',
            },
          ],
        },
      ],
    },
    {
      title: 'Cost',
      panels: [
        {
          title: 'Duration, p50',
          description: 'From acceptance to result.',
          unit: 'seconds',
          queries: [{ expr: quantile('functionDuration', 0.5, { where, by }), legend }],
        },
        {
          title: 'Duration, p99',
          description: 'From acceptance to result.',
          unit: 'seconds',
          queries: [{ expr: quantile('functionDuration', 0.99, { where, by }), legend }],
        },
        {
          title: 'CPU',
          description: 'Cores that the guests of each function keep busy.',
          unit: 'count',
          queries: [{ expr: perSecond('functionCpu', { where, by }), legend }],
        },
        {
          title: 'Calls in progress',
          description: 'Mean number: seconds of calls a second.',
          unit: 'count',
          queries: [{ expr: sumPerSecond('functionDuration', { where, by }), legend }],
        },
      ],
    },
    {
      title: 'Inside the guest',
      panels: [
        {
          title: 'Guest functions, p99',
          description: 'By the name that was called, over all functions.',
          unit: 'seconds',
          width: 4,
          queries: [
            {
              expr: quantile('guestCallDuration', 0.99, { by: [A.guestFunctionName] }),
              legend: legendOf(A.guestFunctionName),
            },
          ],
        },
        {
          title: 'Host functions, mean',
          description: 'What guests asked of the host.',
          unit: 'seconds',
          width: 4,
          queries: [
            {
              expr: mean('hostCallDuration', { by: [A.guestFunctionName] }),
              legend: legendOf(A.guestFunctionName),
            },
          ],
        },
        {
          title: 'Errors of guests, by code',
          description: 'Codes of the guest ABI.',
          unit: 'perSecond',
          width: 4,
          queries: [
            {
              expr: perSecond('guestErrors', { by: [A.guestErrorCode] }),
              legend: legendOf(A.guestErrorCode),
            },
          ],
        },
      ],
    },
  ],
};
