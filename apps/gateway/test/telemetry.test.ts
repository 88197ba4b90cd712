import { request as httpRequest } from 'node:http';
import { Metrics, prometheusText, Sampling, type SpanData, type Telemetry } from '@mayfly/telemetry';
import { describe, expect, it } from 'vitest';
import { echo, type Script } from './support/scripted-worker.js';
import { ECHO_MANIFEST, startGateway, TENANT_KEY } from './support/test-gateway.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const CLIENT = '00f067aa0ba902b7';
const sampled = { traceparent: `00-${TRACE}-${CLIENT}-01` };
const notSampled = { traceparent: `00-${TRACE}-${CLIENT}-00` };
const CALL = { function: 'echo', entrypoint: 'echo-int', args: [3] };
const silence: Script = () => 'silence';

/** A gateway with the echo function, whose telemetry is kept here. */
async function start({
  exports = true,
  ...options
}: {
  exports?: boolean;
  env?: Record<string, string>;
  queueWaitMs?: number;
} = {}) {
  const spans: SpanData[] = [];
  const metrics = new Metrics('gateway');
  const sampling = new Sampling({ parentBased: true, ratio: 0 }, 60_000);
  const telemetry: Telemetry<'gateway'> = {
    ...{ metrics, resource: {} },
    ...(exports && { tracing: { sampling, export: (span: SpanData) => spans.push(span) } }),
    shutdown: () => Promise.resolve(),
  };
  const gateway = await startGateway({ ...options, telemetry });
  await gateway.upload('echo', ECHO_MANIFEST);
  const find = (name: string) => spans.find((span) => span.name === name);
  /** The response has been read before its request is over. */
  const ended = (name: string) => expect.poll(() => find(name)).toBeDefined();
  const text = async () => prometheusText(await metrics.collect(), {});
  return { gateway, spans, find, ended, text };
}

describe('the trace of a request', () => {
  it('goes on in the job, below the span that sends it', async () => {
    const { gateway, spans, find, ended } = await start();
    const worker = await gateway.startWorker();
    const response = await gateway.invoke(CALL, { ...sampled, tracestate: 'vendor=1' });
    expect(response.status).toBe(200);
    await ended('POST /invoke');
    expect(spans.map(({ name }) => name)).toEqual(['POST /invoke', 'admission', 'send sync']);
    expect(find('POST /invoke')).toMatchObject({
      ...{ traceId: TRACE, parentSpanId: CLIENT, isParentRemote: true, kind: 'server' },
      ...{ traceState: 'vendor=1' },
    });
    const item = worker.jobs[0]?.items[0];
    expect(item?.traceparent).toBe(`00-${TRACE}-${find('send sync')?.spanId}-01`);
    expect(item?.tracestate).toBe('vendor=1');
    expect(find('send sync')?.attributes['messaging.message.id']).toMatch(/^\d+$/);
  });

  it('that nobody samples is not made, but goes on in the job', async () => {
    const { gateway, spans, text } = await start();
    const worker = await gateway.startWorker();
    await gateway.invoke(CALL, notSampled);
    await expect.poll(text).toMatch(/http_server_request_duration_seconds_count\{.*"\/invoke".*\} 1/);
    expect(spans).toEqual([]);
    expect(worker.jobs[0]?.items[0]?.traceparent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
  });

  it('is kept when the worker kept its part, and not when it did not', async () => {
    const { gateway, spans, ended } = await start();
    let kept = true;
    await gateway.startWorker((item, job) => ({
      ...(echo(item, job) as object),
      ...{ outcome: 'aborted', detail: { message: 'no' }, trace: { id: TRACE, sampled: kept } },
    }));
    expect((await gateway.invoke(CALL, notSampled)).status).toBe(502);
    await ended('POST /invoke');
    const before = spans.length;
    kept = false;
    const response = await gateway.invoke(CALL, notSampled);
    expect((await response.json()).traceId).toBe(TRACE);
    expect(spans).toHaveLength(before);
  });

  it('is passed on as it came where this gateway exports none', async () => {
    const { gateway, spans } = await start({ exports: false });
    const worker = await gateway.startWorker();
    await gateway.invoke(CALL, sampled);
    await gateway.invoke(CALL, { traceparent: 'nonsense' });
    expect(worker.jobs.map(({ items }) => items[0]?.traceparent)).toEqual([sampled.traceparent, undefined]);
    expect(spans).toEqual([]);
  });

  it('is kept, and on record, when no worker takes the call', async () => {
    const { gateway, find, ended, text } = await start({ queueWaitMs: 50 });
    const response = await gateway.invoke({ ...CALL, timeoutMs: 50 }, notSampled);
    expect(response.status).toBe(504);
    await ended('POST /invoke');
    expect(find('POST /invoke')).toMatchObject({ error: 'Answered with 504' });
    const id = response.headers.get('invocation-id');
    const record = await (await gateway.fetch(`/v1/invocations/${id}`)).json();
    expect(record.traceId).toBe(TRACE);
    expect(await text()).toContain('mayfly_dispatch_failures_total{error_type="queue-timeout"} 1\n');
  });

  it('shows that a call was not let in, and the tenant’s metric why', async () => {
    const { gateway, find, ended, text } = await start({
      env: { MAYFLY_GATEWAY_TENANT_MAX_IN_FLIGHT: '1' },
    });
    const worker = await gateway.startWorker(silence);
    const first = gateway.invoke({ ...CALL, timeoutMs: 50 });
    await expect.poll(() => worker.jobs.length).toBe(1);
    expect(await text()).toContain('mayfly_tenant_inflight{mayfly_tenant_id="default"} 1\n');
    expect((await gateway.invoke(CALL, sampled)).status).toBe(429);
    await ended('admission');
    expect(find('admission')?.attributes['mayfly.quota.decision']).toBe('refused');
    expect(await text()).toContain(
      'mayfly_tenant_throttled_total{mayfly_tenant_id="default",mayfly_reason="too-many-requests",mayfly_limit="tenantMaxInFlight"} 1\n',
    );
    await gateway.drain();
    await first;
  });

  it('counts each call of a batch that was not let in once', async () => {
    const { gateway, text } = await start();
    const json = { maxRunning: 1, maxQueued: 1 };
    expect((await gateway.operator('/v1/tenants/default/quotas', { method: 'PUT', json })).ok).toBe(true);
    const batch = (calls: number) =>
      gateway.fetch('/v1/functions/echo/invoke-batch', {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson', prefer: 'respond-async' },
        body: `${JSON.stringify({ entrypoint: 'echo-int', args: [3] })}\n`.repeat(calls),
      });
    expect((await batch(5)).status).toBe(202);
    // None of these comes in: the first one's error is the answer.
    expect((await batch(2)).status).toBe(429);
    expect(await text()).toContain(
      'mayfly_tenant_throttled_total{mayfly_tenant_id="default",mayfly_reason="too-many-requests",mayfly_limit="maxQueued"} 5\n',
    );
  });

  it('is not made for those who ask whether the gateway lives', async () => {
    const { gateway, spans } = await start();
    await gateway.fetch('/livez', { headers: sampled });
    await gateway.fetch('/v1/limits', { headers: sampled });
    await expect.poll(() => spans.map(({ name }) => name)).toEqual(['GET /v1/limits']);
  });
});

describe('the metrics of requests', () => {
  it('count a client that goes away as 499, and leave no request open', async () => {
    const { gateway, text } = await start();
    const worker = await gateway.startWorker(silence);
    const body = JSON.stringify({ ...CALL, timeoutMs: 50 });
    const request = httpRequest(`${gateway.url}/invoke`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TENANT_KEY}`, 'content-type': 'application/json' },
    });
    // Node reports its own cut.
    request.on('error', () => undefined);
    request.end(body);
    await expect.poll(() => worker.jobs.length).toBe(1);
    const closed = new Promise((resolve) => request.once('close', resolve));
    request.destroy();
    await closed;
    await expect
      .poll(text)
      .toMatch(/http_request_method="POST",http_route="\/invoke",http_response_status_code="499"\} 1/);
    expect(await text()).toMatch(/^http_server_active_requests 0$/m);
  });

  it('have no route for a path that is none, so that paths make no series', async () => {
    const { gateway, text } = await start();
    await gateway.fetch('/no/such/path');
    await expect.poll(text).toMatch(/_count\{http_request_method="GET",http_response_status_code="404"\} 1/);
    expect(await text()).not.toContain('/no/such/path');
  });

  it('tell how long the oldest job waits, and how many do', async () => {
    const { gateway, text } = await start();
    expect(await text()).toContain('mayfly_queue_oldest_age_seconds{mayfly_lane="async"} 0\n');
    const first = await gateway.invoke(CALL, { prefer: 'respond-async' });
    const second = await gateway.invoke(CALL, { prefer: 'respond-async' });
    expect([first.status, second.status]).toEqual([202, 202]);
    await expect.poll(text).toContain('mayfly_queue_depth{mayfly_lane="async"} 2\n');
    expect(await text()).toMatch(/mayfly_queue_oldest_age_seconds\{mayfly_lane="async"\} (?!0\n)[\d.]+\n/);
    expect(await text()).toContain(
      'bullmq_queue_jobs{messaging_destination_name="{async-0}",bullmq_job_state="waiting"} 2\n',
    );
  });
});
