import { createRequire } from 'node:module';
import { join } from 'node:path';
import { LocalBlobStore } from '@mayfly/blobs';
import { DATA_FOLDERS, isMayflyError } from '@mayfly/contracts';
import { checkElf } from '@mayfly/hypervisor/elf';
import { readSecretKeys } from '@mayfly/secrets';
import { MetricsServer, startTelemetry } from '@mayfly/telemetry';
import { pino } from 'pino';
import { buildApp } from './app.js';
import { EXIT_CONFIG, type GatewayConfig, loadConfig } from './config.js';
import { sweepBlobs } from './retention.js';

const SWEEP_MS = 3_600_000;
/** What spans that wait get to be sent in. */
const TELEMETRY_GRACE_MS = 3_000;
/** Past this, something holds the process that should not. */
const EXIT_TIMEOUT_MS = 2_000;

await main();

async function main(): Promise<void> {
  const config = readConfig();
  if (config === undefined) {
    process.exitCode = EXIT_CONFIG;
    return;
  }
  const logger = pino({ base: { service: 'mayfly-gateway', gatewayId: config.gatewayId } });
  const blobs = new LocalBlobStore(join(config.dataDir, DATA_FOLDERS.blobs));
  const telemetry = await startTelemetry({
    process: 'gateway',
    instanceId: config.gatewayId,
    version: createRequire(import.meta.url)('../package.json').version,
    settings: config.telemetry,
    onProblem: (error) => logger.warn({ err: error }, 'telemetry is not delivered'),
  });
  const metrics = new MetricsServer({
    ...{ metrics: telemetry.metrics, resource: telemetry.resource },
    ...{ host: config.metricsHost, port: config.metricsPort },
  });
  try {
    const secretKeys = config.secretsKeyFile === '' ? undefined : await readSecretKeys(config.secretsKeyFile);
    const parts = { config, logger, blobs, checkArtifact: checkElf, telemetry, secretKeys };
    const { app, services, drain } = await buildApp(parts);
    // Calls are taken without it, too: another gateway of this host may have the port.
    await metrics.listen().then(
      (address) => logger.info({ address }, 'serving metrics'),
      (error: unknown) => logger.warn({ err: error, port: config.metricsPort }, 'no metrics are served'),
    );
    await app.listen({ host: config.host, port: config.port });
    logger.info({ addresses: app.addresses() }, 'listening');
    const sweep = async () => {
      const { registry, deadLetters } = services;
      for (const tenant of services.directory.names())
        await sweepBlobs({ blobs, registry, deadLetters, tenant }).then(
          (deleted) => logger.info({ deleted, tenant }, 'swept blobs'),
          (error: unknown) => logger.error({ err: error, tenant }, 'sweep failed'),
        );
    };
    const sweeps = setInterval(sweep, SWEEP_MS);
    const end = async (signal: NodeJS.Signals) => {
      logger.info({ signal }, 'draining');
      clearInterval(sweeps);
      await drain();
      await metrics.close();
      await telemetry.shutdown(TELEMETRY_GRACE_MS);
      logger.info('drained');
      setTimeout(() => process.exit(0), EXIT_TIMEOUT_MS).unref();
    };
    let asked = false;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        // The second one is meant.
        if (asked) process.exit(1);
        asked = true;
        end(signal).catch((error: unknown) => {
          logger.fatal({ err: error }, 'drain failed');
          process.exit(1);
        });
      });
    }
    process.on('unhandledRejection', (error) => {
      logger.fatal({ err: error }, 'unhandled rejection');
      process.exit(1);
    });
  } catch (error) {
    logger.fatal({ err: error }, 'cannot start');
    process.exitCode = 1;
  }
}

function readConfig(): GatewayConfig | undefined {
  try {
    return loadConfig(process.env);
  } catch (error) {
    if (!isMayflyError(error, 'MAYFLY_ERR_GATEWAY_CONFIG')) throw error;
    process.stderr.write(`The configuration is wrong:\n${error.message}\n`);
    return undefined;
  }
}
