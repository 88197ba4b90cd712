import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { freePort, kvmWorks, type Mayfly, startMayfly } from '../helpers/mayfly.js';

/** Where `npm run observe` keeps the one that it builds. */
const otelcol = path.join(
  process.env['XDG_CACHE_HOME'] || path.join(homedir(), '.cache'),
  'mayfly/observe/otelcol',
);

describe.skipIf(!kvmWorks || !existsSync(otelcol))(
  'through the OpenTelemetry Collector, which npm run observe builds (needs otelcol)',
  () => {
    /** Bodies that the collector passed on, decoded by it and written as JSON, by path. */
    const received = new Map<string, string>();
    let sink: Server;
    let folder: string;
    let collector: ChildProcess;
    let mayfly: Mayfly;

    beforeAll(async () => {
      sink = createServer((request, response) => {
        const chunks: Buffer[] = [];
        request.on('data', (chunk: Buffer) => chunks.push(chunk));
        request.on('end', () => {
          const url = request.url ?? '';
          received.set(url, (received.get(url) ?? '') + Buffer.concat(chunks).toString('utf8'));
          response.end('{}');
        });
      });
      sink.listen(0, '127.0.0.1');
      await once(sink, 'listening');
      const port = await freePort();
      folder = await mkdtemp(path.join(tmpdir(), 'mf-otelcol-'));
      const config = path.join(folder, 'config.yaml');
      const sinkUrl = `http://127.0.0.1:${(sink.address() as AddressInfo).port}`;
      await writeFile(
        config,
        `receivers:
  otlp: { protocols: { http: { endpoint: 127.0.0.1:${port} } } }
exporters:
  otlp_http: { endpoint: "${sinkUrl}", encoding: json, compression: none }
service:
  telemetry: { metrics: { level: none } }
  pipelines:
    traces: { receivers: [otlp], exporters: [otlp_http] }
    logs: { receivers: [otlp], exporters: [otlp_http] }
    metrics: { receivers: [otlp], exporters: [otlp_http] }
`,
      );
      collector = spawn(otelcol, [`--config=${config}`], { stdio: 'ignore' });
      mayfly = await startMayfly({
        env: {
          OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
          OTEL_BSP_SCHEDULE_DELAY: '50',
          OTEL_BLRP_SCHEDULE_DELAY: '50',
          OTEL_METRIC_EXPORT_INTERVAL: '500',
        },
      });
      for (const guest of ['trace', 'output']) await mayfly.upload(guest);
    });
    afterAll(async () => {
      await mayfly?.stop();
      if (collector !== undefined && collector.exitCode === null) {
        const gone = once(collector, 'exit');
        collector.kill('SIGTERM');
        await gone;
      }
      sink?.close();
      await rm(folder, { recursive: true, force: true });
    });

    const has = (url: string, ...words: string[]) =>
      vi.waitFor(
        () => {
          for (const word of words) expect(received.get(url) ?? '').toContain(JSON.stringify(word));
        },
        { timeout: 20_000, interval: 100 },
      );

    test("traces arrive with the guest's own spans", async () => {
      const answer = await mayfly.invoke({ function: 'trace', entrypoint: 'Host', args: [] });
      expect(answer.status).toBe(200);
      await has('/v1/traces', 'POST /invoke', 'process sync', 'vm.run', 'outer', 'inner', 'result');
    });

    test("a guest's log records arrive", async () => {
      expect((await mayfly.invoke({ function: 'output', entrypoint: 'Print', args: ['ping'] })).status).toBe(
        200,
      );
      await has('/v1/logs', 'ping');
    });

    test('metrics of both processes arrive', async () => {
      await has('/v1/metrics', 'faas.invoke_duration', 'http.server.request.duration');
    });
  },
);
