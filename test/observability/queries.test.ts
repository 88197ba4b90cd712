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
    await trouble(mayfly);
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

  test('what was tried again, given up and canceled is counted', async () => {
    const value = async (expr: string) => (await prometheus.query(expr))[0]?.value;
    const counted = () =>
      Promise.all([
        value('sum(mayfly_invocation_retries_total{mayfly_outcome="timeout"})'),
        value('sum(mayfly_invocation_dead_lettered_total{mayfly_outcome="timeout"})'),
        value('max(mayfly_dead_letter_depth)'),
        value('sum(mayfly_invocation_cancels_total{mayfly_reason="request"})'),
        value('sum(mayfly_invocation_cancels_total{mayfly_reason="disconnect"})'),
      ]);
    await vi.waitFor(async () => expect(await counted()).toEqual([1, 1, 1, 1, 1]), {
      timeout: 10_000,
      interval: 500,
    });
    expect(await value('max(mayfly_dead_letter_oldest_age_seconds)')).toBeGreaterThan(0);
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

/** One async call that is tried again and given up, one that is canceled, and one client that goes away. */
async function trouble(mayfly: Mayfly): Promise<void> {
  const json = { 'content-type': 'application/json' };
  const config = await mayfly.request('/v1/functions/spin/config');
  const configured = await mayfly.request('/v1/functions/spin/config', {
    method: 'PUT',
    headers: { ...json, 'if-match': config.headers.get('etag') ?? '' },
    body: JSON.stringify({ retry: { attempts: 2, minBackoffMs: 50, retryOn: ['timeout'] } }),
  });
  expect(configured.status).toBe(200);
  const spin = async (timeoutMs: number): Promise<string> => {
    const answer = await mayfly.request('/invoke', {
      method: 'POST',
      headers: { ...json, prefer: 'respond-async' },
      body: JSON.stringify({ function: 'spin', entrypoint: 'Spin', args: [], timeoutMs }),
    });
    return ((await answer.json()) as { invocationId: string }).invocationId;
  };
  const state = async (id: string) =>
    ((await (await mayfly.request(`/v1/invocations/${id}`)).json()) as { state: string }).state;
  const dead = await spin(100);
  await until(() => state(dead), 'dead_lettered');
  const canceled = await spin(30_000);
  await until(() => state(canceled), 'running');
  expect((await mayfly.request(`/v1/invocations/${canceled}/cancel`, { method: 'POST' })).status).toBe(200);

  const client = new AbortController();
  const call = mayfly
    .request('/invoke', {
      method: 'POST',
      headers: json,
      body: JSON.stringify({ function: 'spin', entrypoint: 'Spin', args: [], timeoutMs: 30_000 }),
      signal: client.signal,
    })
    .catch(() => 'gone');
  const inFlight = async () => {
    const hosts = (await (await mayfly.operator('/v1/hosts')).json()) as {
      items: { callsInFlight: number }[];
    };
    return hosts.items.reduce((sum, { callsInFlight }) => sum + callsInFlight, 0);
  };
  await until(inFlight, 1);
  client.abort();
  expect(await call).toBe('gone');
}

/** `expect.poll`, outside a test. */
async function until<T>(look: () => Promise<T>, wanted: T): Promise<void> {
  await vi.waitFor(async () => expect(await look()).toBe(wanted), { timeout: 20_000, interval: 50 });
}
