import { createRequire } from 'node:module';
import { join } from 'node:path';
import { LocalBlobStore } from '@mayfly/blobs';
import { DATA_FOLDERS, isMayflyError } from '@mayfly/contracts';

import { readSecretKeys } from '@mayfly/secrets';
import { MetricsServer, startTelemetry } from '@mayfly/telemetry';
import { pino } from 'pino';
import { startDrivers } from './cells/start-drivers.js';
import { loadConfig, type WorkerConfig } from './config.js';
import { GrantedSecrets } from './host/granted-secrets.js';
import { hostFunctions } from './host/host-functions.js';
import { HypervisorImageBuilder } from './image-builder.js';
import { connectRedis, disconnectRedis } from './redis.js';
import { buildWorker } from './worker.js';

const EXIT_FAILURE = 1;
/** EX_CONFIG of sysexits(3). */
const EXIT_CONFIG = 78;
/** What is left to release after an error that nobody handled. */
const PANIC_GRACE_MS = 1_000;
/** What spans and log records that wait get to be sent in. */
const TELEMETRY_GRACE_MS = 3_000;
/** Past this, something holds the process that should not. */
const EXIT_TIMEOUT_MS = 2_000;

function configOrExit(): WorkerConfig {
  try {
    return loadConfig(process.env);
  } catch (error) {
    process.stderr.write(`${isMayflyError(error) ? error.message : String(error)}\n`);
    process.exit(EXIT_CONFIG);
  }
}

async function main(): Promise<void> {
  const config = configOrExit();
  const logger = pino({ level: config.logLevel, base: { workerId: config.workerId } });
  let discardGone = (): void => undefined;
  const drivers = await startDrivers(config, logger, () => discardGone()).catch((error) => {
    logger.fatal({ err: error }, 'no hypervisor');
    process.exit(EXIT_FAILURE);
  });
  const blobs = new LocalBlobStore(join(config.dataDirectory, DATA_FOLDERS.blobs));
  const secretKeys =
    config.secretsKeyFile === ''
      ? undefined
      : await readSecretKeys(config.secretsKeyFile).catch((error) => {
          logger.fatal({ err: error }, 'no keys for secrets');
          process.exit(EXIT_CONFIG);
        });
  const telemetry = await startTelemetry({
    process: 'worker',
    instanceId: config.workerId,
    version: createRequire(import.meta.url)('../package.json').version,
    settings: config.telemetry,
    onProblem: (error) => logger.warn({ err: error }, 'telemetry is not delivered'),
  });
  // From here to the signal handlers in one go: who sees the worker at work can tell it to end.
  const redis = connectRedis(config.redisUrl);
  redis.on('error', (error) => logger.warn({ err: error }, 'redis'));
  const secrets = new GrantedSecrets({
    redis,
    keys: secretKeys,
    onError: (error, place) => logger.error({ err: error, ...place }, 'a secret cannot be read'),
  });
  const images = new HypervisorImageBuilder({
    drivers,
    blobs,
    initTimeoutMs: config.initTimeoutMs,
    hostFunctions: hostFunctions(secrets),
    onUnclean: (mismatch) => panic(mismatch),
  });
  const worker = buildWorker({ config, redis, blobs, images, logger, telemetry });
  discardGone = () => worker.pool.discardGone();
  const { metricsHost: host, metricsPort: port } = config;
  const { metrics: source, resource } = telemetry;
  const metrics = new MetricsServer({ metrics: source, resource, host, port });

  let isStopping = false;
  const stop = async (graceMs: number, exitCode: number) => {
    isStopping = true;
    process.exitCode = exitCode;
    await worker.drain(graceMs);
    secrets.close();
    await drivers.close();
    await disconnectRedis(redis);
    await metrics.close();
    await telemetry.shutdown(TELEMETRY_GRACE_MS);
    setTimeout(() => {
      logger.error('something keeps the process alive: leaving anyway');
      process.exit(exitCode);
    }, EXIT_TIMEOUT_MS).unref();
  };
  const panic = (error: unknown) => {
    logger.fatal({ err: error }, 'unhandled error');
    if (isStopping) process.exit(EXIT_FAILURE);
    stop(PANIC_GRACE_MS, EXIT_FAILURE).catch(() => process.exit(EXIT_FAILURE));
  };
  process.on('uncaughtException', panic);
  process.on('unhandledRejection', panic);
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      if (isStopping) process.exit(EXIT_FAILURE);
      logger.info({ signal }, 'draining');
      stop(config.drainGraceMs, 0).then(() => logger.info('drained'), panic);
    });

  // Calls are served without it, too: another worker of this host may have the port.
  await metrics.listen().then(
    (address) => logger.info({ address }, 'serving metrics'),
    (error) => logger.warn({ err: error, host, port }, 'no metrics are served'),
  );
  await worker.start();
  logger.info({ slots: config.slots, dataDirectory: config.dataDirectory }, 'taking calls');
}

await main();
