import { alerts, dashboards, plainQuery, ruleFile } from '@mayfly/dashboards';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { freePort, kvmWorks, type Mayfly, startMayfly } from '../helpers/mayfly.js';
import { type Prometheus, startPrometheus } from './prometheus.js';

const LOAD_MS = 6_000;

const queries = dashboards.flatMap(({ uid, rows }) =>
  rows.flatMap(({ panels }) =>
    panels.flatMap(({ title, queries: ofPanel }) => ofPanel.map(({ expr }) => ({ uid, title, expr }))),
  ),
);

describe.skipIf(!kvmWorks)('a Prometheus that scrapes a Mayfly under a short load', () => {
  let mayfly: Mayfly;
  let prometheus: Prometheus;

  beforeAll(async () => {
    const [gatewayPort, workerPort] = [await freePort(), await freePort()];
    mayfly = await startMayfly({
      env: { MAYFLY_GATEWAY_METRICS_PORT: `${gatewayPort}`, MAYFLY_WORKER_METRICS_PORT: `${workerPort}` },
    });
    // The limits are the operator's, the waiting times are not waited for.
    const rules = ruleFile(alerts.map((alert) => ({ ...alert, forMinutes: 0 })));
    prometheus = await startPrometheus(
      {
        'mayfly-gateway': [`127.0.0.1:${gatewayPort}`],
        'mayfly-worker': [`127.0.0.1:${workerPort}`],
      },
      rules,
    );
    for (const guest of ['hello', 'echo', 'spin', 'hostcalls', 'output']) await mayfly.upload(guest);
    await load(mayfly);
  });
  afterAll(async () => {
    await prometheus?.stop();
    await mayfly?.stop();
  });

  test.each(queries)('has data for "$title" of $uid: $expr', async ({ expr }) => {
    await vi.waitFor(async () => expect(await prometheus.query(plainQuery(expr))).not.toHaveLength(0), {
      timeout: 10_000,
      interval: 500,
    });
  });

  test.each(alerts)('has data for $name: $expr', async ({ expr }) => {
    await vi.waitFor(async () => expect(await prometheus.query(expr)).not.toHaveLength(0), {
      timeout: 10_000,
      interval: 500,
    });
  });

  test('the numbers are those of the load', async () => {
    const outcomes = await prometheus.query('sum by (mayfly_outcome) (faas_invoke_duration_seconds_count)');
    expect(outcomes.map(({ labels }) => labels['mayfly_outcome'])).toEqual(
      expect.arrayContaining(['succeeded', 'timeout', 'guest-error']),
    );
    const [timeouts] = await prometheus.query('sum(faas_timeouts_total)');
    const [ofOutcome] = await prometheus.query(
      'sum(faas_invoke_duration_seconds_count{mayfly_outcome="timeout"})',
    );
    expect(timeouts?.value).toBe(ofOutcome?.value);
  });

  test('an alert fires when its worker is gone, and none did before', async () => {
    expect(await prometheus.firing()).not.toContain('MayflyNoWorker');
    await Promise.all(mayfly.workers.map((worker) => worker.end('SIGKILL')));
    await vi.waitFor(
      async () =>
        expect(await prometheus.firing()).toEqual(
          expect.arrayContaining(['MayflyNoWorker', 'MayflyTargetDown']),
        ),
      { timeout: 25_000, interval: 500 },
    );
  });
});

/** Good calls, typed and raw, sync and async, and each kind of end that the dashboards tell apart. */
async function load(mayfly: Mayfly): Promise<void> {
  const end = Date.now() + LOAD_MS;
  const answers: Promise<Response>[] = [];
  while (Date.now() < end) {
    answers.push(
      mayfly.invoke({ function: 'hello', args: ['operator'] }),
      mayfly.invoke({ function: 'echo', entrypoint: 'Add', args: [1, 2] }),
      mayfly.invoke({ function: 'spin', entrypoint: 'Spin', args: [], timeoutMs: 100 }),
      mayfly.invoke({ function: 'hostcalls', entrypoint: 'CallHost', args: [3] }),
      mayfly.invoke({ function: 'output', entrypoint: 'Print', args: ['operator'] }),
      mayfly.request('/invoke/hello', {
        method: 'POST',
        body: 'operator',
        headers: { 'content-type': 'text/plain', prefer: 'respond-async' },
      }),
    );
    await Promise.all(answers.splice(0));
  }
}
