import { ATTRIBUTES as A } from '@mayfly/telemetry';
import type { Alert } from './definition.js';
import { equals, matches, orZero, perSecond, quantile, seriesOf, shared, shareOf, total } from './promql.js';

const window = '5m';
/** Callbacks that no receiver has answered, whatever it would have said (docs/invocations.md). */
const noWayOut = matches(A.reason, 'dns|connect|timeout|tls|platform');

/** What somebody must look at. Guests that fail are their owners' concern: no alert here counts them. */
export const alerts: readonly Alert[] = [
  {
    name: 'MayflyNoWorker',
    expr: shared('workersAlive'),
    comparison: '< 1',
    forMinutes: 1,
    severity: 'page',
    summary: 'No worker answers: every call waits and then fails.',
    runbook:
      'Start a worker (`systemctl start mayfly-worker`), then read the end of the log of the last one.',
  },
  {
    name: 'MayflyTargetDown',
    expr: 'min by (job) (up{job=~"mayfly-.*"})',
    comparison: '< 1',
    forMinutes: 2,
    severity: 'page',
    summary: '{{ $labels.job }} does not answer the scrape.',
    runbook: 'Is the process there? If so, look at its event loop and memory; if not, at the end of its log.',
  },
  {
    name: 'MayflyHostFaults',
    expr: orZero(perSecond('hostFaults', { window })),
    comparison: '> 0.01',
    forMinutes: 5,
    severity: 'page',
    summary: 'Calls fail because of the host, not of their guests.',
    runbook:
      'Take the error code from the panel "Faults of the host", look it up in docs/errors.md; drain the worker if it is one host.',
  },
  {
    name: 'MayflyUnclean',
    expr: orZero(
      `sum (increase(${seriesOf('hostFaults')}{${matches(A.errorType, 'MAYFLY_ERR_(RESET_MISMATCH|CELL_UNCLEAN)')}}[1h]))`,
    ),
    comparison: '> 0',
    forMinutes: 0,
    severity: 'page',
    summary: 'A restore left something behind. The worker has stopped taking calls, or ended the cell.',
    runbook:
      'Keep the worker stopped, keep its log and the function version, and report it: isolation of calls is in doubt.',
  },
  {
    name: 'MayflyQueueStuck',
    expr: orZero(`max (${seriesOf('queueOldestAge')})`),
    comparison: '> 30',
    forMinutes: 2,
    severity: 'page',
    summary: 'A job has waited for more than 30 s.',
    runbook:
      'Are workers alive and their slots busy? Then add slots or hosts; if slots are idle, restart the workers one by one.',
  },
  {
    name: 'MayflySlotsFull',
    expr: shareOf(total('vmSlots', { where: equals(A.vmState, 'busy') }), total('vmSlots')),
    comparison: '> 0.95',
    forMinutes: 10,
    severity: 'ticket',
    summary: 'Nearly all slots have been busy for ten minutes: calls wait.',
    runbook:
      'Find the tenant that takes them (dashboard "tenant", CPU); add a host, or lower what that tenant may run at once.',
  },
  {
    name: 'MayflyPoolFull',
    expr: shareOf(total('poolMemory'), total('poolMemoryLimit')),
    comparison: '> 0.95',
    forMinutes: 10,
    severity: 'ticket',
    summary: 'The memory of the sandbox pool is full: idle sandboxes give way and cold starts grow.',
    runbook:
      'Give the pool more memory (docs/configuration.md), add a host, or lower the memory of large functions.',
  },
  {
    name: 'MayflyOverheadHigh',
    expr: quantile('overheadDuration', 0.99, { window }),
    comparison: '> 0.1',
    forMinutes: 10,
    severity: 'ticket',
    summary: 'One call in a hundred waits more than 100 ms for the platform.',
    runbook:
      'The panel of phases says where: queue is too few slots, acquire is cold starts, result is Redis or the network.',
  },
  {
    name: 'MayflyNoAnswer',
    expr: orZero(perSecond('dispatchFailures', { window })),
    comparison: '> 0.1',
    forMinutes: 5,
    severity: 'page',
    summary: 'Calls are accepted and not answered in time.',
    runbook: 'Look at the age of the oldest job and at the workers; the callers have been told 503.',
  },
  {
    name: 'MayflyRefuses',
    expr: orZero(perSecond('tenantThrottled', { where: equals(A.reason, 'saturated'), window })),
    comparison: '> 0.1',
    forMinutes: 5,
    severity: 'page',
    summary: 'The platform refuses calls: it has no room for them, whatever their tenants may use.',
    runbook:
      'The panel "Refused at the door" names the limit: queue and start limits want slots or hosts, redisMemory wants room in Redis, maxInFlight another gateway.',
  },
  {
    name: 'MayflyLostToHost',
    expr: orZero(`sum (increase(${seriesOf('deadLettered')}{${equals(A.outcome, 'host-fault')}}[1h]))`),
    comparison: '> 0',
    forMinutes: 0,
    severity: 'page',
    summary: 'Async calls were given up because of the host: their guests are not to blame.',
    runbook:
      'Repair what the panel "Faults of the host" names, then redrive these dead letters (docs/invocations.md); tell their tenants.',
  },
  {
    name: 'MayflyRetriesForHost',
    expr: orZero(perSecond('retries', { where: equals(A.outcome, 'host-fault'), window })),
    comparison: '> 0.1',
    forMinutes: 10,
    severity: 'ticket',
    summary: 'Async calls are made again because of the host: their callers do not see it yet.',
    runbook:
      'Which worker? Its log has the chain of causes; cordon and drain it (docs/operations.md) when it is one host.',
  },
  {
    name: 'MayflyDeadLettersOld',
    expr: shared('deadLetterOldestAge'),
    comparison: `> ${5 * 86_400}`,
    forMinutes: 5,
    severity: 'ticket',
    summary: 'Dead letters are nearly a week old: they go when they are a week.',
    runbook:
      'Tell the tenants whose functions fail (dashboard "tenant"): they redrive them to a mended version, or purge them (docs/invocations.md).',
  },
  {
    name: 'MayflyCallbacksStay',
    expr: shareOf(
      perSecond('callbackAttempts', { where: noWayOut, window }),
      perSecond('callbackAttempts', { window }),
    ),
    comparison: '> 0.5',
    forMinutes: 15,
    severity: 'ticket',
    summary: 'More than half of the attempts at callbacks reach no receiver.',
    runbook:
      'The panel "Attempts at callbacks" says why; when it is all tenants at once, look at name service, firewall and the way out of the gateways.',
  },
  {
    name: 'MayflyClientsLeave',
    expr: shareOf(
      perSecond('cancels', { where: equals(A.reason, 'disconnect'), window }),
      perSecond('invokeDuration', { window }),
    ),
    comparison: '> 0.2',
    forMinutes: 10,
    severity: 'ticket',
    summary: 'One client in five goes away before its answer.',
    runbook:
      'Is the platform slow ("What the platform adds")? If not, look for a load balancer that cuts calls before their time limit.',
  },
  {
    name: 'MayflyEventLoopBusy',
    expr: `max by (job) (${seriesOf('eventLoopUtilization')})`,
    comparison: '> 0.9',
    forMinutes: 10,
    severity: 'ticket',
    summary: 'The event loop of {{ $labels.job }} is busy nearly all the time.',
    runbook: 'Start another process of its kind: both are made to be many.',
  },
  {
    name: 'MayflyTelemetryLost',
    expr: orZero(perSecond('telemetryDropped', { window })),
    comparison: '> 1',
    forMinutes: 10,
    severity: 'ticket',
    summary: 'Spans or log records do not reach the collector.',
    runbook: 'Is the collector up, and is its queue full? Calls are not affected.',
  },
];
