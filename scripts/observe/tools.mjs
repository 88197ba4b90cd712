import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { say } from '../lib/console.mjs';
import { root, run, which } from '../lib/exec.mjs';

const COLLECTOR = '0.165.0';
const VICTORIA_METRICS = '1.151.0';
const ZIPKIN = '3.5.1';

/** Built once for this machine's user, whatever clone asks. */
export const toolFolder = path.join(
  process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache'),
  'mayfly/observe',
);

/**
 * What this machine can run of the servers that watch Mayfly. Each is undefined where it cannot be had, after a line
 * that says why. What takes long says so before it begins.
 */
export async function ensureTools() {
  mkdirSync(toolFolder, { recursive: true });
  return {
    metricsStore: await tool('victoria-metrics', {
      needs: ['go'],
      what: `metrics store VictoriaMetrics ${VICTORIA_METRICS}, with dashboards: built from source, about a minute`,
      make: () =>
        goInstall(`github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics@v${VICTORIA_METRICS}`),
    }),
    collector: await tool('otelcol', {
      needs: ['go'],
      what: `OpenTelemetry Collector ${COLLECTOR}: built from source, about four minutes`,
      make: buildCollector,
    }),
    traceViewer: await tool(`zipkin-${ZIPKIN}.jar`, {
      needs: ['java', 'mvn'],
      what: `trace viewer Zipkin ${ZIPKIN}: fetched through Maven, 131 MB`,
      make: fetchZipkin,
    }),
  };
}

async function tool(file, { needs, what, make }) {
  const name = file.replace(/-\d.*/, '').padEnd(16);
  const product = path.join(toolFolder, file);
  if (existsSync(product)) {
    say(`${name} skipped: made before`);
    return product;
  }
  const missing = needs.filter((program) => which(program) === undefined);
  if (missing.length > 0) {
    say(`${name} left out: needs ${missing.join(' and ')}`);
    return undefined;
  }
  say(`${name} ${what} …`);
  const started = Date.now();
  try {
    await make();
  } catch (error) {
    say(`${name} left out: ${error.message.split('\n').slice(-3).join(' ')}`);
    return undefined;
  }
  say(`${name} done in ${((Date.now() - started) / 1000).toFixed(0)} s`);
  return product;
}

const goInstall = (module) => run('go', ['install', module], { env: { GOBIN: toolFolder } });

async function buildCollector() {
  await goInstall(`go.opentelemetry.io/collector/cmd/builder@v${COLLECTOR}`);
  const source = path.join(toolFolder, 'collector-source');
  const manifest = path.join(toolFolder, 'collector.yaml');
  const text = readFileSync(path.join(root, 'infra/otel/builder.yaml'), 'utf8');
  writeFileSync(manifest, text.replaceAll('VERSION', COLLECTOR).replace('OUTPUT', source));
  await run(path.join(toolFolder, 'builder'), ['--config', manifest], { cwd: toolFolder });
  renameSync(path.join(source, 'otelcol'), path.join(toolFolder, 'otelcol'));
}

async function fetchZipkin() {
  const plugin = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1';
  const artifact = `io.zipkin:zipkin-server:${ZIPKIN}:jar:exec`;
  await run('mvn', ['-q', `${plugin}:get`, `-Dartifact=${artifact}`, '-Dtransitive=false']);
  await run('mvn', ['-q', `${plugin}:copy`, `-Dartifact=${artifact}`, `-DoutputDirectory=${toolFolder}`]);
  renameSync(
    path.join(toolFolder, `zipkin-server-${ZIPKIN}-exec.jar`),
    path.join(toolFolder, `zipkin-${ZIPKIN}.jar`),
  );
}
