import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fail, main, say } from './lib/console.mjs';
import { root, which } from './lib/exec.mjs';
import { startMayfly } from './lib/mayfly.mjs';
import { startProcess } from './lib/processes.mjs';
import { setup } from './lib/setup.mjs';
import { startLoad } from './observe/load.mjs';
import { startSink } from './observe/sink.mjs';
import { ensureTools } from './observe/tools.mjs';

const METRICS_PORT = 8428;
const TRACES_PORT = 9411;
const OTLP_PORT = 4318;
const GRACE_MS = 10_000;
const READY_TIMEOUT_MS = 90_000;

await main(async () => {
  say('Setting up Mayfly and what watches it\n');
  await setup({ programs: process.env.MAYFLY_REDIS_URL ? [] : ['redis-server'] });
  const tools = await ensureTools();
  const interrupted = new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => resolve(signal));
  });

  const folder = path.join(
    path.resolve(process.env.MAYFLY_DATA_DIR || path.join(root, '.mayfly')),
    'observe',
  );
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const started = [];
  let failure;
  try {
    const addresses = await startWatchers(tools, folder, started);
    if (tools.collector) process.env.OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${OTLP_PORT}`;
    // /metrics is scraped: pushed as well, every number would be there twice.
    process.env.OTEL_METRICS_EXPORTER = 'none';
    const mayfly = await startMayfly();
    started.push({ stop: () => mayfly.stop() });
    const load = await startLoad(mayfly);
    started.push(load);
    say(`\nMayfly is up under a light load; its key is ${mayfly.tenantKey}\n`);
    say(`API        ${mayfly.url}`);
    for (const [name, address] of addresses) say(`${name.padEnd(10)} ${address}`);
    say('\nDashboards have their first lines after some ten seconds. Ctrl-C stops all of it.');
    const ended = Promise.race(mayfly.children.map((child) => child.exited.then(() => child)));
    const end = await Promise.race([interrupted, ended]);
    if (typeof end !== 'string') failure = `${end.name} ended unexpectedly:\n${end.logTail()}`;
  } catch (error) {
    failure = error.message;
  }
  say('\nStopping …');
  for (const part of started.reverse()) await part.stop(GRACE_MS);
  if (failure !== undefined) fail(failure);
});

/** Starts what there is of store, viewer and collector. Returns what to open, by name. */
async function startWatchers(tools, folder, started) {
  const addresses = [];
  const begin = (name, command, args, env) => {
    const child = startProcess(name, command, args, { logFolder: folder, cwd: folder, env });
    started.push(child);
    say(`${name.padEnd(10)} process ${child.pid}`);
    return child;
  };

  if (tools.metricsStore) {
    const scrape = path.join(folder, 'scrape.yaml');
    writeFileSync(scrape, scrapeConfig());
    begin('metrics', tools.metricsStore, [
      `-httpListenAddr=127.0.0.1:${METRICS_PORT}`,
      `-storageDataPath=${path.join(folder, 'metrics')}`,
      `-promscrape.config=${scrape}`,
      '-retentionPeriod=7d',
      '-search.latencyOffset=2s',
      `-vmui.customDashboardsPath=${path.join(root, 'infra/generated/victoriametrics')}`,
    ]);
    addresses.push(['Dashboards', `http://127.0.0.1:${METRICS_PORT}/vmui/#/dashboards`]);
  } else if (which('prometheus')) {
    const config = path.join(folder, 'scrape.yaml');
    writeFileSync(config, scrapeConfig());
    begin('metrics', which('prometheus'), [
      `--web.listen-address=127.0.0.1:${METRICS_PORT}`,
      `--storage.tsdb.path=${path.join(folder, 'prometheus')}`,
      `--config.file=${config}`,
    ]);
    addresses.push(['Metrics', `http://127.0.0.1:${METRICS_PORT}/graph`]);
  } else say('No metrics store: it takes go, or prometheus on PATH.');

  const zipkinUrl = tools.traceViewer && `http://127.0.0.1:${TRACES_PORT}`;
  let viewer;
  if (zipkinUrl) {
    viewer = begin('traces', which('java'), [
      '-Xmx256m',
      '-jar',
      tools.traceViewer,
      '--armeria.ports[0].ip=127.0.0.1',
      `--armeria.ports[0].port=${TRACES_PORT}`,
      '--armeria.ports[0].protocols[0]=http',
    ]);
    addresses.push(['Traces', `${zipkinUrl}/zipkin/`]);
  }

  if (tools.collector) {
    const logFile = path.join(folder, 'guest-logs.jsonl');
    const sink = await startSink({ zipkinUrl, logFile });
    started.push({ stop: sink.close });
    const config = path.join(folder, 'collector.yaml');
    writeFileSync(config, collectorConfig(sink.url));
    begin('collector', tools.collector, [`--config=${config}`]);
    addresses.push(['Collector', `http://127.0.0.1:${OTLP_PORT} (OTLP over http)`], ['Guest logs', logFile]);
  } else say('No collector: traces and guest logs are left out. It takes go.');
  if (viewer) await answers(`${zipkinUrl}/health`, viewer);
  return addresses;
}

function scrapeConfig() {
  return `global: { scrape_interval: 2s }
scrape_configs:
  - { job_name: mayfly-gateway, static_configs: [{ targets: ["127.0.0.1:${process.env.MAYFLY_GATEWAY_METRICS_PORT || 9464}"] }] }
  - { job_name: mayfly-worker, static_configs: [{ targets: ["127.0.0.1:${process.env.MAYFLY_WORKER_METRICS_PORT || 9465}"] }] }
`;
}

function collectorConfig(sinkUrl) {
  return `receivers:
  otlp: { protocols: { http: { endpoint: 127.0.0.1:${OTLP_PORT} } } }
processors:
  batch: { timeout: 500ms }
exporters:
  otlp_http: { endpoint: "${sinkUrl}", encoding: json, compression: none }
service:
  telemetry: { metrics: { level: none } }
  pipelines:
    traces: { receivers: [otlp], processors: [batch], exporters: [otlp_http] }
    logs: { receivers: [otlp], processors: [batch], exporters: [otlp_http] }
`;
}

async function answers(url, child) {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let dead = false;
  child.exited.then(() => {
    dead = true;
  });
  while (!(await fetch(url).catch(() => undefined))?.ok) {
    if (dead || Date.now() > deadline) fail(`${child.name} does not answer:\n${child.logTail()}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}
