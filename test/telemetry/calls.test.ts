import { randomBytes } from 'node:crypto';
import type { InvocationRecord } from '@mayfly/contracts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kvmWorks, type Mayfly, type Process, startMayfly } from '../helpers/mayfly.js';
import { type ReceivedSpan, TestCollector } from './support/collector.js';
import { type SpanTree, spanTrees } from './support/span-tree.js';

const hex = (bytes: number) => randomBytes(bytes).toString('hex');
/** What `GET /v1/invocations/{id}` answers, as far as it is looked at here. */
type View = Pick<InvocationRecord, 'invocationId' | 'outcome' | 'timings' | 'usage'> & {
  readonly state: string;
  readonly traceId?: string;
};

describe.skipIf(!kvmWorks)('the telemetry of calls (needs /dev/kvm)', () => {
  const collector = new TestCollector();
  let mayfly: Mayfly;

  beforeAll(async () => {
    const endpoint = await collector.listen();
    mayfly = await startMayfly({
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
        OTEL_BSP_SCHEDULE_DELAY: '20',
        OTEL_BLRP_SCHEDULE_DELAY: '20',
        OTEL_METRIC_EXPORT_INTERVAL: '500',
        // Only what a test asks for, and what is kept for its end.
        OTEL_TRACES_SAMPLER: 'parentbased_always_off',
        MAYFLY_TRACE_SLOW_MS: '10000',
      },
    });
    for (const guest of ['trace', 'errors', 'spin', 'output']) await mayfly.upload(guest);
  }, 60_000);

  afterAll(async () => {
    await mayfly?.stop();
    await collector.close();
  });

  async function call(
    envelope: Record<string, unknown>,
    { sampled = true, headers = {} }: { sampled?: boolean; headers?: Record<string, string> } = {},
  ) {
    const client = { traceId: hex(16), spanId: hex(8) };
    const response = await mayfly.request('/invoke', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        traceparent: `00-${client.traceId}-${client.spanId}-${sampled ? '01' : '00'}`,
        ...headers,
      },
      body: JSON.stringify(envelope),
    });
    return { client, response, body: (await response.json()) as View };
  }

  /** The spans of a trace once the request's own and those that `last` names are there. */
  async function spansOf(traceId: string, last: string): Promise<ReceivedSpan[]> {
    return await collector.until(`trace ${traceId}`, () => {
      const spans = collector.trace(traceId);
      return spans.some(({ name }) => name === last) && spans;
    });
  }

  const find = (spans: readonly ReceivedSpan[], name: string): ReceivedSpan => {
    const span = spans.find((candidate) => candidate.name === name);
    if (span === undefined)
      throw new Error(`no span ${name} in ${spans.map((each) => each.name).join(', ')}`);
    return span;
  };

  const phases = (service: string, run: readonly SpanTree[] = []): SpanTree[] => [
    ['queue', 'internal', service, []],
    ['vm.acquire', 'internal', service, []],
    ['vm.restore', 'internal', service, []],
    ['vm.run', 'internal', service, run],
    ['result', 'internal', service, []],
  ];
  /** From the request to the guest's own spans. */
  const syncTree = (service: string, run: readonly SpanTree[] = []): SpanTree => [
    ...(['POST /invoke', 'server', 'mayfly-gateway'] as const),
    [
      ['admission', 'internal', 'mayfly-gateway', []],
      [
        ...(['send sync', 'producer', 'mayfly-gateway'] as const),
        [['process sync', 'consumer', 'mayfly-worker', [[service, 'server', service, phases(service, run)]]]],
      ],
    ],
  ];
  const both = (traceId: string) =>
    Promise.all([spansOf(traceId, 'POST /invoke'), spansOf(traceId, 'process sync')]).then(() =>
      collector.trace(traceId),
    );

  test('a sync call is one trace, from the client’s span to the guest’s own and its host calls', async () => {
    const { client, response, body } = await call(
      { function: 'trace', entrypoint: 'Host', args: [] },
      { headers: { tracestate: 'vendor=value' } },
    );
    expect(response.status).toBe(200);
    const spans = await both(client.traceId);
    expect(spanTrees(spans)).toEqual([
      syncTree('trace', [
        [
          'outer',
          'internal',
          'trace',
          [['inner', 'internal', 'trace', [['host HostPrint', 'internal', 'trace', []]]]],
        ],
      ]),
    ]);
    expect(find(spans, 'POST /invoke')).toMatchObject({
      parentSpanId: client.spanId,
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/invoke',
        'http.response.status_code': 200,
        'url.path': '/invoke',
        'faas.invoked_name': 'trace',
        'mayfly.tenant.id': 'default',
      },
    });
    expect(new Set(spans.map(({ traceState }) => traceState))).toContain('vendor=value');
    const invocation = find(spans, 'trace');
    expect(invocation.attributes).toMatchObject({
      'faas.trigger': 'http',
      'faas.invocation_id': body.invocationId,
      'mayfly.outcome': 'succeeded',
      'mayfly.entrypoint': 'Host',
      'mayfly.vm.host_calls': 1,
    });
    expect(invocation.resource).toMatchObject({
      'service.namespace': 'default',
      'faas.name': 'trace',
      'faas.version': '1',
      'cloud.resource_id': 'tenant/default/function/trace/version/1',
    });
    expect(find(spans, 'outer')).toMatchObject({ scope: 'mayfly.guest', events: [{ name: 'after' }] });
    expect(spans.every(({ isError }) => !isError)).toBe(true);
  });

  test('the phases of a call follow each other without a gap, inside it, and the guest’s spans inside the run', async () => {
    const { client, body } = await call({ function: 'trace', entrypoint: 'Host', args: [] });
    const spans = await both(client.traceId);
    const invocation = find(spans, 'trace');
    const inOrder = ['queue', 'vm.acquire', 'vm.restore', 'vm.run', 'result'].map((name) =>
      find(spans, name),
    );
    expect(inOrder[0]?.startNs).toBe(invocation.startNs);
    expect(inOrder.at(-1)?.endNs).toBe(invocation.endNs);
    for (const [index, phase] of inOrder.entries())
      expect(phase.startNs, phase.name).toBe(inOrder[index - 1]?.endNs ?? invocation.startNs);
    const { totalUs, ...parts } = body.timings;
    expect(Object.values(parts).reduce((sum, us) => sum + us, 0)).toBe(totalUs);
    expect(invocation.endNs - invocation.startNs).toBe(BigInt(totalUs) * 1000n);

    // The guest reads its own clock; the two are mapped by two moments of the run, to a few microseconds.
    const SLACK_NS = 1_000_000n;
    const run = find(spans, 'vm.run');
    const outer = find(spans, 'outer');
    const inner = find(spans, 'inner');
    const host = find(spans, 'host HostPrint');
    expect(outer.startNs).toBeGreaterThanOrEqual(run.startNs);
    expect(outer.endNs).toBeLessThanOrEqual(run.endNs + SLACK_NS);
    expect(inner.startNs).toBeGreaterThanOrEqual(outer.startNs);
    expect(inner.endNs).toBeLessThanOrEqual(outer.endNs);
    expect(host.startNs).toBeGreaterThanOrEqual(inner.startNs - SLACK_NS);
    expect(host.endNs).toBeLessThanOrEqual(inner.endNs + SLACK_NS);
  });

  test('an async call is a trace of its own, linked to the span that queued it', async () => {
    const { client, response, body } = await call(
      { function: 'trace', entrypoint: 'Nest', args: [2] },
      { headers: { prefer: 'respond-async' } },
    );
    expect(response.status).toBe(202);
    expect(body.traceId).toBe(client.traceId);
    const asked = await spansOf(client.traceId, 'POST /invoke');
    expect(spanTrees(asked)).toEqual([
      [
        ...(['POST /invoke', 'server', 'mayfly-gateway'] as const),
        [
          ['admission', 'internal', 'mayfly-gateway', []],
          ['send async', 'producer', 'mayfly-gateway', []],
        ],
      ],
    ]);
    const consumer = await collector.until('the consumer', () =>
      collector.spans.find(
        ({ name, links }) =>
          name === 'process async' && links.some(({ traceId }) => traceId === client.traceId),
      ),
    );
    expect(consumer.links).toEqual([{ traceId: client.traceId, spanId: find(asked, 'send async').spanId }]);
    expect(consumer.traceId).not.toBe(client.traceId);
    expect(spanTrees(collector.trace(consumer.traceId))).toEqual([
      [
        ...(['process async', 'consumer', 'mayfly-worker'] as const),
        [
          [
            ...(['trace', 'server', 'trace'] as const),
            phases('trace', [['work', 'internal', 'trace', [['work', 'internal', 'trace', []]]]]),
          ],
        ],
      ],
    ]);
    const record = (await (await mayfly.request(`/v1/invocations/${body.invocationId}`)).json()) as View;
    expect(record).toMatchObject({ state: 'succeeded', traceId: consumer.traceId });
  });

  test('a failing call is traced although the client did not ask, with the outcome on the function’s span', async () => {
    const { client, response } = await call(
      { function: 'errors', entrypoint: 'Fail', args: [11, 'as it should'] },
      { sampled: false },
    );
    expect(response.status).toBe(502);
    const spans = await both(client.traceId);
    expect(spanTrees(spans)).toEqual([syncTree('errors')]);
    expect(find(spans, 'errors')).toMatchObject({
      isError: true,
      errorText: expect.stringContaining('as it should'),
      attributes: { 'mayfly.outcome': 'guest-error', 'error.type': 'guest-error' },
    });
    // The worker did its part; the caller got a 502.
    expect(find(spans, 'process sync').isError).toBe(false);
    expect(find(spans, 'POST /invoke')).toMatchObject({
      isError: true,
      attributes: { 'http.response.status_code': 502 },
    });
  });

  test('a timed-out call is traced although the client did not ask', async () => {
    const { client, response, body } = await call(
      { function: 'spin', entrypoint: 'Spin', args: [], returns: 'void', timeoutMs: 50 },
      { sampled: false },
    );
    expect(response.status).toBe(504);
    expect(body.traceId).toBe(client.traceId);
    const spans = await both(client.traceId);
    expect(spanTrees(spans)).toEqual([syncTree('spin')]);
    expect(find(spans, 'spin')).toMatchObject({
      isError: true,
      attributes: { 'mayfly.outcome': 'timeout', 'error.type': 'timeout' },
    });
    const run = find(spans, 'vm.run');
    expect(run.endNs - run.startNs).toBeGreaterThanOrEqual(50_000_000n);
  });

  test('a call that nobody asked to trace, and that went well, leaves no span but its record', async () => {
    const { client, body } = await call(
      { function: 'trace', entrypoint: 'Asked', args: [] },
      { sampled: false },
    );
    expect(body).toMatchObject({ result: { type: 'bool', value: false } });
    // What is exported leaves in order: a later call that is kept is proof.
    const kept = await call(
      { function: 'errors', entrypoint: 'Fail', args: [11, 'later'] },
      { sampled: false },
    );
    await both(kept.client.traceId);
    expect(collector.trace(client.traceId)).toEqual([]);
    const record = (await (await mayfly.request(`/v1/invocations/${body.invocationId}`)).json()) as View;
    expect(record.traceId).toBe(client.traceId);
  });

  test('every answer has its phases and its receipt, traced or not', async () => {
    const { response, body } = await call(
      { function: 'trace', entrypoint: 'Asked', args: [] },
      { sampled: false },
    );
    expect(response.headers.get('server-timing')).toMatch(
      /^queue;dur=[\d.]+, acquire;dur=[\d.]+, restore;dur=[\d.]+, run;dur=[\d.]+, result;dur=[\d.]+, total;dur=[\d.]+$/,
    );
    expect(response.headers.get('invocation-usage')).toMatch(
      /^cpu-us=\d+, exits=[1-9]\d*, host-calls=0, dirty-pages=\d+, source=(warm|snapshot|boot)$/,
    );
    expect(body.usage.cpuUs).toBeLessThanOrEqual(body.timings.runUs);
  });

  test('what a guest prints and logs is exported with its invocation and its trace', async () => {
    const { client, body } = await call({
      function: 'output',
      entrypoint: 'Print',
      args: ['first\nsecond\n'],
    });
    const logs = await collector.until('the records', () => {
      const found = collector.logs.filter(
        ({ attributes }) => attributes['faas.invocation_id'] === body.invocationId,
      );
      return found.length >= 2 && found;
    });
    const spans = await both(client.traceId);
    expect(logs).toMatchObject([
      { body: 'first', severity: 'INFO', attributes: { 'log.iostream': 'stdout' } },
      { body: 'second', severity: 'INFO' },
    ]);
    for (const { traceId, spanId, resource } of logs) {
      expect({ traceId, spanId }).toEqual({ traceId: client.traceId, spanId: find(spans, 'output').spanId });
      expect(resource['service.name']).toBe('output');
    }
  });

  test('a flood of logs ends in a record that says how much is missing', async () => {
    const { body } = await call({ function: 'output', entrypoint: 'LogFlood', args: [300] });
    const logs = await collector.until('the truncation', () => {
      const found = collector.logs.filter(
        ({ attributes }) => attributes['faas.invocation_id'] === body.invocationId,
      );
      return found.some(({ attributes }) => 'mayfly.log.dropped_records' in attributes) && found;
    });
    const dropped = Number(logs.at(-1)?.attributes['mayfly.log.dropped_records']);
    expect(logs.length - 1 + dropped).toBe(300);
    expect(logs.length).toBeLessThanOrEqual(129);
    expect(logs.at(-1)).toMatchObject({ severity: 'WARN', body: expect.stringContaining(`${dropped} more`) });
  });

  test('gateway and worker serve what they count on /metrics, and push the same', async () => {
    const [gateway, worker] = await Promise.all([metricsOf(mayfly.gateway), metricsOf(mayfly.workers[0])]);
    expect(worker).toMatch(/^faas_invocations_total\{faas_trigger="http"\} [1-9]/m);
    expect(worker).toMatch(/^faas_errors_total\{faas_trigger="http",error_type="guest-error"\} [1-9]/m);
    expect(worker).toMatch(/^faas_timeouts_total\{faas_trigger="http"\} 1$/m);
    expect(worker).toMatch(/^guest_errors_total\{code="11"\} [1-9]/m);
    expect(worker).toMatch(/^guest_cancellations_total 1$/m);
    expect(worker).toMatch(/^guest_call_duration_seconds_count\{function_name="Host"\} [1-9]/m);
    expect(worker).toMatch(/^host_call_duration_seconds_count\{function_name="HostPrint"\} [1-9]/m);
    expect(worker).toMatch(
      /^mayfly_function_invocations_total\{mayfly_tenant_id="default",faas_name="spin",mayfly_outcome="timeout"\} 1$/m,
    );
    expect(worker).toMatch(/^mayfly_vm_slots\{mayfly_vm_state="idle"\} [1-9]/m);
    expect(worker).toMatch(/^mayfly_snapshot_build_duration_seconds_count\{mayfly_outcome="succeeded"\} 4$/m);
    expect(gateway).toMatch(
      /^http_server_request_duration_seconds_count\{.*http_route="\/invoke".*\} [1-9]/m,
    );
    expect(gateway).toMatch(
      /^messaging_client_sent_messages_total\{.*destination_name="\{sync-0\}".*\} [1-9]/m,
    );
    expect(gateway).toMatch(/^mayfly_queue_depth\{mayfly_lane="sync"\} \d+$/m);
    expect(gateway).toMatch(/^mayfly_queue_oldest_age_seconds\{mayfly_lane="async"\} [\d.]+$/m);
    expect(gateway).toMatch(/^mayfly_workers_alive 1$/m);
    const pushed = await collector.until('both', () => {
      const services = new Set(collector.metrics.map(({ resource }) => resource['service.name']));
      return services.size === 2 && services;
    });
    expect([...pushed].sort()).toEqual(['mayfly-gateway', 'mayfly-worker']);
  });

  test('a process that ends sends what waits', async () => {
    const own = new TestCollector();
    const endpoint = await own.listen();
    const late = await startMayfly({
      env: { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: '600000' },
    });
    try {
      await late.upload('trace');
      await late.invoke({ function: 'trace', entrypoint: 'Asked', args: [] });
      expect(own.spans).toEqual([]);
      expect((await late.gateway.end('SIGTERM')).code).toBe(0);
      expect((await late.workers[0]?.end('SIGTERM'))?.code).toBe(0);
      expect(new Set(own.spans.map(({ name }) => name))).toEqual(
        new Set([
          ...['POST /v1/functions/:name/versions', 'POST /invoke', 'admission', 'send sync', 'process sync'],
          ...['trace', 'queue', 'vm.acquire', 'vm.restore', 'vm.run', 'result'],
        ]),
      );
    } finally {
      await late.stop();
      await own.close();
    }
  }, 60_000);
});

/** `/metrics` of a process, at the address that its log names. */
async function metricsOf(process: Process | undefined): Promise<string> {
  const line = process
    ?.output()
    .split('\n')
    .find((text) => text.includes('serving metrics'));
  const { address } = JSON.parse(line ?? '{}') as { address: string };
  return await (await fetch(address)).text();
}
