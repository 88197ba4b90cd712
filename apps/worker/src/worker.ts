import type { BlobStore } from '@mayfly/blobs';
import { Attempts } from '@mayfly/queue';
import { localTelemetry, type Telemetry } from '@mayfly/telemetry';
import type { Redis } from 'ioredis';
import { AsyncAttempts } from './async-attempts.js';
import { listenForCancels } from './cancel-listener.js';
import { kvmKind } from './cells/kvm-kind.js';
import type { WorkerConfig } from './config.js';
import { Duty } from './duty.js';
import { Heartbeat } from './heartbeat.js';
import { Intake } from './intake.js';
import { Lane } from './lane.js';
import { Permits } from './permits.js';
import type { ImageBuilder } from './pool/guest-image.js';
import { SandboxPool } from './pool/sandbox-pool.js';
import { Processor } from './processor.js';
import { Delivery } from './reply/delivery.js';
import { ReplyRouter } from './reply/reply-router.js';
import { CallTelemetry } from './telemetry/call-telemetry.js';
import { countedBuilder, observePool } from './telemetry/pool-metrics.js';
import { AliasCounts } from './versions/alias-counts.js';
import { Flights } from './versions/flights.js';
import { Preparer } from './versions/preparer.js';
import { QuarantineWatch } from './versions/quarantine.js';
import { ReadinessReports } from './versions/readiness-reports.js';
import { VersionListener } from './versions/version-listener.js';
import { within } from './within.js';

/** What a drain may take beyond its grace: calls that were killed, replies and records that are on their way. */
const AFTER_GRACE_MS = 3_000;

export interface Logger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface WorkerDeps {
  readonly config: Pick<
    WorkerConfig,
    | 'workerId'
    | 'slots'
    | 'isolation'
    | 'callsAhead'
    | 'jobsAtOnce'
    | 'maxSandboxes'
    | 'maxMemoryBytes'
    | 'drainGraceMs'
    | 'quarantineDeaths'
  >;
  /** Belongs to the caller, who ends it after `drain`. */
  readonly redis: Redis;
  readonly blobs: BlobStore;
  readonly images: ImageBuilder;
  readonly logger: Logger;
  /** Belongs to the caller, who ends it after `drain`. @defaultValue metrics that nobody reads */
  readonly telemetry?: Telemetry<'worker'>;
}

export interface MayflyWorker {
  /** Resolves once jobs are taken and the heartbeat is in Redis. */
  start(): Promise<void>;
  /**
   * Takes no more jobs, lets calls that run end within the grace, then kills them, delivers what can be delivered and
   * closes all that `buildWorker` made. Idempotent: the same promise.
   */
  drain(graceMs: number): Promise<void>;
  /** What the pool holds. */
  readonly pool: Pick<SandboxPool, 'use' | 'discardGone'>;
}

export function buildWorker(deps: WorkerDeps): MayflyWorker {
  const { config, redis, blobs, images, logger, telemetry = localTelemetry('worker') } = deps;
  const router = new ReplyRouter();
  const delivery = new Delivery({
    redis,
    blobs,
    router,
    onError: (error, invocationId) => logger.error({ err: error, invocationId }, 'delivery failed'),
  });
  const permits = new Permits(config.slots + config.callsAhead);
  const reports = new ReadinessReports({
    ...{ redis, workerId: config.workerId },
    onError: (error) => logger.warn({ err: error }, 'readiness is not reported'),
  });
  const { quarantineDeaths } = config;
  const onQuarantineError = (error: unknown) => logger.warn({ err: error }, 'quarantine');
  const flights =
    quarantineDeaths === 0
      ? undefined
      : new Flights({ redis, workerId: config.workerId, onError: onQuarantineError });
  const flown = (builder: ImageBuilder) => flights?.over(builder) ?? builder;
  const quarantine =
    flights &&
    new QuarantineWatch({
      ...{ redis, workerId: config.workerId, flights, deaths: quarantineDeaths },
      onQuarantine: (version, workerIds) =>
        logger.error({ version, workerIds }, 'hosts died of this version: quarantined'),
      onError: onQuarantineError,
    });
  const pool = new SandboxPool(reports.over(flown(countedBuilder(telemetry.metrics, images))), {
    limits: { maxSandboxes: config.maxSandboxes, maxMemoryBytes: config.maxMemoryBytes },
    slots: config.slots,
    // A hostile initialisation runs to its whole timeout: one slot stays free of them.
    buildsAtOnce: Math.max(1, config.slots - 1),
    onCloseError: (error) => logger.error({ err: error }, 'a sandbox did not close'),
  });
  observePool(telemetry.metrics, pool, config);
  const kvm = kvmKind();
  const aliases = new AliasCounts(redis, (error) =>
    logger.warn({ err: error }, 'calls by alias are not counted'),
  );
  const processor = new Processor({
    ...{ aliases, flights, quarantine },
    workerId: config.workerId,
    kvm,
    pool,
    permits,
    blobs,
    delivery,
    attempts: new AsyncAttempts({ attempts: new Attempts(redis), workerId: config.workerId }),
    telemetry: new CallTelemetry(telemetry, (error) => logger.error({ err: error }, 'telemetry of a call')),
    onHostFault: (error, invocationId) => logger.error({ err: error, invocationId }, 'host fault'),
  });
  const makeLane = (name: 'sync' | 'async') =>
    new Lane({
      name,
      redis,
      processor,
      workerId: config.workerId,
      jobsAtOnce: config.jobsAtOnce,
      onError: (error, context) => logger.warn({ err: error, ...context }, 'queue'),
    });
  const intake = new Intake(() => [makeLane('sync'), makeLane('async')]);
  const onStop = (jobs: number) => logger.warn({ jobs }, 'grace is over: killing what runs');
  const duty = new Duty({
    intake,
    graceMs: config.drainGraceMs,
    afterGraceMs: AFTER_GRACE_MS,
    onChange: (state) => {
      logger.info({ state }, 'another duty');
      heartbeat.beatNow();
    },
    onStop,
    onError: (error) => logger.error({ err: error }, 'an order was not carried out'),
  });
  const heartbeat = new Heartbeat({
    redis,
    workerId: config.workerId,
    slots: config.slots,
    isolation: config.isolation,
    kvm,
    callsInFlight: () => permits.inUse,
    state: () => duty.state,
    onOrder: (order) => duty.obey(order),
    onError: (error) => logger.warn({ err: error }, 'heartbeat failed'),
  });
  const subscriber = redis.duplicate();
  subscriber.on('error', (error) => logger.warn({ err: error }, 'subscriber'));

  const preparer = new Preparer({
    ...{ pool, kvm, reports, quarantine },
    onFailure: (error, { name, version }) =>
      logger.warn({ err: error, function: name, version }, 'version not prepared'),
  });
  const versions = new VersionListener({
    ...{ redis, subscriber },
    onVersion: (ref, warmId) => preparer.prepare(ref, warmId),
    onError: (error) => logger.warn({ err: error }, 'announcement ignored'),
  });
  let draining: Promise<void> | undefined;

  return {
    pool,
    async start() {
      await quarantine?.start();
      await versions.start();
      aliases.start();
      await listenForCancels({
        subscriber,
        redis,
        workerId: config.workerId,
        processor,
        onError: (error) => logger.warn({ err: error }, 'nobody is told that a call was canceled'),
      });
      await intake.open();
      await heartbeat.start();
    },
    drain(graceMs) {
      draining ??= drain(graceMs);
      return draining;
    },
  };

  async function drain(graceMs: number): Promise<void> {
    versions.stop();
    duty.leave();
    await intake.drain(graceMs, { afterGraceMs: AFTER_GRACE_MS, onStop });
    if (!(await within(delivery.flushed(), AFTER_GRACE_MS))) logger.warn({}, 'not all was delivered');
    // Until here calls run that can be canceled.
    subscriber.disconnect();
    await within(aliases.stop(), AFTER_GRACE_MS);
    router.close();
    await within(pool.close(), AFTER_GRACE_MS);
    if (quarantine) await within(quarantine.stop(), AFTER_GRACE_MS);
    await within(heartbeat.stop(), AFTER_GRACE_MS);
  }
}
