import { join } from 'node:path';
import { LocalBlobStore } from '@mayfly/blobs';
import { DATA_FOLDERS, isMayflyError } from '@mayfly/contracts';
import { checkElf } from '@mayfly/hypervisor/elf';
import { pino } from 'pino';
import { buildApp } from './app.js';
import { EXIT_CONFIG, type GatewayConfig, loadConfig } from './config.js';
import { sweepBlobs } from './retention.js';

const SWEEP_MS = 3_600_000;

await main();

async function main(): Promise<void> {
  const config = readConfig();
  if (config === undefined) {
    process.exitCode = EXIT_CONFIG;
    return;
  }
  const logger = pino({ base: { service: 'mayfly-gateway', gatewayId: config.gatewayId } });
  const blobs = new LocalBlobStore(join(config.dataDir, DATA_FOLDERS.blobs));
  try {
    const { app, services, drain } = await buildApp({ config, logger, blobs, checkArtifact: checkElf });
    await app.listen({ host: config.host, port: config.port });
    logger.info({ addresses: app.addresses() }, 'listening');
    const sweep = () =>
      sweepBlobs({ blobs, registry: services.registry, tenant: config.tenant }).then(
        (deleted) => logger.info({ deleted }, 'swept blobs'),
        (error: unknown) => logger.error({ err: error }, 'sweep failed'),
      );
    const sweeps = setInterval(sweep, SWEEP_MS);
    const end = async (signal: NodeJS.Signals) => {
      logger.info({ signal }, 'draining');
      clearInterval(sweeps);
      await drain();
      logger.info('drained');
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
