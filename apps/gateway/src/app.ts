import { join } from 'node:path';
import type { BlobStore } from '@mayfly/blobs';
import { DATA_FOLDERS, LIMITS } from '@mayfly/contracts';
import { Attempts, CallbackQueue, type CallbackQueueOptions, DeadLetters, Gate } from '@mayfly/queue';
import type { SecretKeys } from '@mayfly/secrets';
import { localTelemetry, type Telemetry } from '@mayfly/telemetry';
import Fastify, { type FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { AuditLog } from './audit/audit-log.js';
import { Callbacks } from './callbacks/callbacks.js';
import { CallbackDeliverer } from './callbacks/deliverer.js';
import { WebhookSecrets } from './callbacks/webhook-secrets.js';
import type { GatewayConfig } from './config.js';
import { Admission } from './dispatch/admission.js';
import { CancelDesk } from './dispatch/cancel-desk.js';
import { GatePump } from './dispatch/gate-pump.js';
import { Hosts } from './dispatch/hosts.js';
import { JobProducer } from './dispatch/job-producer.js';
import { Placement } from './dispatch/placement.js';
import { RedisMemory } from './dispatch/redis-memory.js';
import { listenOnRedis } from './dispatch/reply-channel.js';
import { ReplyServer, replySocketPath } from './dispatch/reply-server.js';
import { SyncLanes } from './dispatch/sync-lanes.js';
import { Waiters } from './dispatch/waiters.js';
import { problemWord } from './errors.js';
import { Canceler, type CancelReason } from './invocations/canceler.js';
import { EndWatch } from './invocations/end-watch.js';
import { InvocationStore } from './invocations/invocation-store.js';
import { DEFAULT_QUEUE_WAIT_MS, Invoker } from './invocations/invoker.js';
import { VersionResolver } from './invocations/version-resolver.js';
import { Outbound, type OutboundOptions } from './outbound/outbound.js';
import { type RouteScope, requireKey } from './plugins/auth.js';
import { answerClientError, answerFrameworkError, answerWithProblems } from './plugins/error-handler.js';
import { describeApi } from './plugins/openapi.js';
import { formatSchemaErrors } from './plugins/schema-errors.js';
import { connectRedis } from './redis.js';
import { FunctionCache } from './registry/function-cache.js';
import { FunctionRegistry } from './registry/function-registry.js';
import { Quarantines } from './registry/quarantines.js';
import { ReadinessListener } from './registry/readiness-listener.js';
import { RollbackWatch } from './registry/rollback-watch.js';
import { auditRoutes } from './routes/audit/audit.js';
import { getBatchRoute } from './routes/batches/get.js';
import { invokeBatchRoute } from './routes/batches/invoke-batch.js';
import { aliasRoutes } from './routes/functions/aliases.js';
import { conditionsRoute } from './routes/functions/conditions.js';
import { configRoutes } from './routes/functions/config.js';
import { deadLetterRoutes } from './routes/functions/dead-letters.js';
import { getRoutes } from './routes/functions/get.js';
import { listRoute } from './routes/functions/list.js';
import { removeRoutes } from './routes/functions/remove.js';
import { uploadRoute } from './routes/functions/upload.js';
import { warmRoute } from './routes/functions/warm.js';
import { cancelRoute } from './routes/invocations/cancel.js';
import { getRoute } from './routes/invocations/get.js';
import { listInvocationsRoute } from './routes/invocations/list.js';
import { logsRoute } from './routes/invocations/logs.js';
import { purgeRoute } from './routes/invocations/purge.js';
import { resultRoute } from './routes/invocations/result.js';
import { envelopeRoute } from './routes/invoke/envelope.js';
import { rawRoute } from './routes/invoke/raw.js';
import { healthRoutes } from './routes/platform/health.js';
import { hostsRoutes } from './routes/platform/hosts.js';
import { limitsRoute } from './routes/platform/limits.js';
import { quotaRoute } from './routes/platform/quota.js';
import { usageRoute } from './routes/platform/usage.js';
import { quarantineRoutes } from './routes/quarantine/quarantine.js';
import { secretRoutes } from './routes/secrets/secrets.js';
import { webhookSecretRoutes } from './routes/secrets/webhook-secret.js';
import { keyRoutes } from './routes/tenants/keys.js';
import { policyRoutes } from './routes/tenants/policy.js';
import { tenantRoutes } from './routes/tenants/tenants.js';
import { SecretGrants } from './secrets/secret-grants.js';
import { SecretStore } from './secrets/secret-store.js';
import type { CheckArtifact, Services } from './services.js';
import { observePlatform } from './telemetry/platform-metrics.js';
import { observeRequests } from './telemetry/request-telemetry.js';
import { Throttles } from './telemetry/throttles.js';
import { authenticatorOf } from './tenants/authenticator.js';
import { ensureBootstrapTenant } from './tenants/bootstrap.js';
import { keepGate } from './tenants/gate-settings.js';
import { KeyAdmin } from './tenants/key-admin.js';
import { TenantAdmin } from './tenants/tenant-admin.js';
import { TenantDirectory } from './tenants/tenant-directory.js';
import { DEFAULT_POLICY } from './tenants/tenant-policies.js';

const CLOSE_IDLE_MS = 50;
/** What a request that is no call, such as an upload, gets to end in once the calls have ended. */
const CLOSE_GRACE_MS = 5_000;

export interface GatewayDeps {
  readonly config: GatewayConfig;
  readonly logger: Logger;
  readonly blobs: BlobStore;
  readonly checkArtifact: CheckArtifact;
  /** @defaultValue LIMITS.queueWaitMs */
  readonly queueWaitMs?: number;
  /** Absent: nobody can put a secret. */
  readonly secretKeys?: SecretKeys | undefined;
  /** Of requests that leave the gateway: resolver, certificates, time. @defaultValue the system's */
  readonly outbound?: Omit<OutboundOptions, 'allow'>;
  readonly callbackQueue?: CallbackQueueOptions;
  /** @defaultValue RETRY_WAITS_MS */
  readonly callbackRetryWaitsMs?: readonly number[];
  /** Belongs to the caller, who ends it after `drain`. @defaultValue metrics that nobody reads */
  readonly telemetry?: Telemetry<'gateway'>;
}

/** A route as it was registered; `HEAD` stands beside its `GET`. */
export interface RouteRule {
  readonly method: string;
  readonly url: string;
  /** Absent: open to everybody. */
  readonly scope: RouteScope | undefined;
}

export interface Gateway {
  /** Not listening yet. To end it, `drain`: closing it alone leaves Redis and the reply socket open. */
  readonly app: FastifyInstance;
  readonly services: Services;
  /** All of them, with what each wants of a key. */
  readonly routes: readonly RouteRule[];
  /** Replies on the socket that nobody waited for, and connections that sent no frame. */
  replyFaults(): { unknownReplies: number; brokenStreams: number };
  /**
   * Stops taking calls, waits for those in flight up to `drainMs`, ends the rest as `draining`, and closes. Idempotent:
   * the same promise.
   */
  drain(): Promise<void>;
}

/** Connects to Redis, opens the reply socket and builds the HTTP application over both. */
export async function buildApp(deps: GatewayDeps): Promise<Gateway> {
  const { config, logger, blobs, checkArtifact, queueWaitMs = DEFAULT_QUEUE_WAIT_MS } = deps;
  const { telemetry = localTelemetry('gateway') } = deps;
  const { instruments } = telemetry.metrics;
  const redis = await connectRedis(config.redis, logger);
  const waiters = new Waiters();
  const replies = new ReplyServer(
    replySocketPath(join(config.dataDir, DATA_FOLDERS.run), config.gatewayId),
    ({ token, record, body }) => waiters.deliver(token, record, body),
  );
  const reply = { gatewayId: config.gatewayId, socketPath: replies.path };
  const memory = new RedisMemory(redis.commands, logger);
  const audit = new AuditLog(redis.commands);
  const directory = new TenantDirectory(redis.commands, DEFAULT_POLICY);
  const gate = new Gate(redis.commands);
  keepGate(directory, gate, (error, tenant) =>
    logger.error({ err: error, tenant }, 'the gate does not know what holds for a tenant'),
  );
  const registry = new FunctionRegistry(redis.commands, directory);
  const hosts = new Hosts(redis.commands, (workerId) =>
    logger.warn({ workerId }, 'a worker does not say what it is: it is not listed'),
  );
  const cache = new FunctionCache(registry);
  const secrets = new SecretStore(redis.commands, deps.secretKeys);
  const secretGrants = new SecretGrants(secrets);
  const webhookSecrets = new WebhookSecrets(redis.commands, deps.secretKeys);
  const outbound = new Outbound({ allow: config.outboundAllow, ...deps.outbound });
  const callbackQueue = new CallbackQueue(redis.commands, deps.callbackQueue);
  const callbacks = new Callbacks({
    ...{ queue: callbackQueue, outbound, secrets: webhookSecrets, policies: directory },
  });
  const store = new InvocationStore(redis.commands);
  const pump = new GatePump(gate, () => hosts.live());
  const producer = new JobProducer({
    ...{ redis: redis.commands, gate, policies: directory, reply, metrics: instruments },
    window: () => pump.window,
    maxQueueDepth: config.maxQueueDepth,
    onWaiting: () => pump.wake(),
  });
  const admission = new Admission(config);
  const attempts = new Attempts(redis.commands);
  const deadLetters = new DeadLetters(redis.commands);
  observePlatform(telemetry.metrics, {
    deadLetters,
    ...{ producer, admission },
    workersAlive: () => hosts.countLive(),
  });
  const desk = new CancelDesk({ redis: redis.commands, gatewayId: config.gatewayId });
  const onCancel = (reason: CancelReason) => instruments.cancels.add(1, reason);
  const canceler = new Canceler({ store, waiters, desk, attempts, onCancel });
  const placement = new Placement(hosts, directory);
  const invoker = new Invoker({
    store,
    producer,
    lanes: new SyncLanes((ref, items) => producer.addSync(ref, items)),
    waiters,
    canceler,
    admission,
    memory,
    placement,
    policies: directory,
    blobs,
    queueWaitMs,
    onHostFault: (error, invocationId) => logger.error({ err: error, invocationId }, 'host fault'),
    onDispatchFailure: (code) => instruments.dispatchFailures.add(1, problemWord(code) ?? code),
  });
  const ends = new EndWatch({
    subscriber: redis.subscriber,
    hasEnded: async (tenant, invocationId) => (await store.find(tenant, invocationId))?.ended !== undefined,
  });
  const readiness = new ReadinessListener(registry);
  const rollbacks = new RollbackWatch({
    ...{ redis: redis.commands, cache, registry, audit },
    onError: (error) => logger.warn({ err: error }, 'aliases are not watched'),
  });
  const quarantines = new Quarantines({
    ...{ redis: redis.commands, audit },
    onError: (error) => logger.warn({ err: error }, 'quarantined versions are not known'),
  });
  const resolver = new VersionResolver({
    ...{ cache, readiness, placement, hosts, rollbacks, quarantines },
    waitMs: queueWaitMs,
    isDraining: () => invoker.draining,
  });
  const deliverer = new CallbackDeliverer({
    ...{ queue: callbackQueue, store, outbound, secrets: webhookSecrets, policies: directory },
    retryWaitsMs: deps.callbackRetryWaitsMs,
    onAttempt: ({ error = 'delivered' }) => instruments.callbackAttempts.add(1, error),
    onError: (error, invocationId) => logger.error({ err: error, invocationId }, 'a callback was not made'),
  });
  const services: Services = {
    ...{ config, logger, blobs, checkArtifact, registry, cache, store, producer, invoker, ends, hosts },
    memory,
    throttles: new Throttles(instruments.tenantThrottled),
    ...{ canceler, attempts, deadLetters },
    gate,
    ...{
      policies: directory,
      directory,
      audit,
      resolver,
      readiness,
      rollbacks,
      quarantines,
      secrets,
      secretGrants,
    },
    tenantAdmin: new TenantAdmin(directory, audit),
    keyAdmin: new KeyAdmin(directory, audit),
    ...{ callbacks, webhookSecrets },
    redis: redis.commands,
  };
  const closeParts = async () => {
    await deliverer.stop();
    directory.stop();
    memory.stop();
    rollbacks.stop();
    pump.stop();
    quarantines.stop();
    await replies.close();
    await producer.close();
    await redis.close();
  };
  try {
    await memory.start();
    await directory.start();
    await ensureBootstrapTenant(config, directory, audit);
    await replies.listen();
    await producer.ready();
    await pump.start();
    await listenOnRedis({
      ...{ subscriber: redis.subscriber, gatewayId: config.gatewayId, waiters, cache },
      ...{ directory, secretGrants },
      ...{ desk, canceler },
      collect: (token) => invoker.collect(token),
    });
    await readiness.listen(redis.subscriber);
    deliverer.start();
    rollbacks.start();
    await quarantines.start();
    const routes: RouteRule[] = [];
    const app = await buildRoutes(services, telemetry, routes);

    return {
      app,
      services,
      routes,
      replyFaults: () => ({ unknownReplies: waiters.unknownReplies, brokenStreams: replies.brokenStreams }),
      drain: once(() => drainGateway({ app, invoker, waiters, ends, closeParts, drainMs: config.drainMs })),
    };
  } catch (error) {
    await closeParts();
    throw error;
  }
}

async function buildRoutes(
  services: Services,
  telemetry: Telemetry<'gateway'>,
  routes: RouteRule[],
): Promise<FastifyInstance> {
  const app = Fastify({
    logger: false,
    bodyLimit: LIMITS.invocationBodyBytes,
    // Long enough for the largest upload on a slow line; the head has its own, shorter limit in node:http.
    requestTimeout: 300_000,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    // Requests are taken as they are: no text becomes a number, no unknown field is dropped.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false } },
    schemaErrorFormatter: formatSchemaErrors,
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerClientError,
  });
  answerWithProblems(app, services);
  observeRequests(app, telemetry);
  app.decorateRequest('tenant', '');
  app.addHook('onRoute', ({ method, url, config }) => {
    for (const each of [method].flat()) routes.push({ method: each, url, scope: config?.scope });
  });
  await describeApi(app);
  await app.register(async (open) => {
    healthRoutes(open, services);
    open.get('/openapi.json', { schema: { hide: true } }, () => app.swagger());
  });
  await app.register(async (scope) => {
    requireKey(scope, {
      authenticator: authenticatorOf(services.config, services.directory),
      onOperatorRead: (request) => {
        const [target = ''] = request.url.split('?');
        return services.audit.record(request, { action: 'tenant.read', tenant: request.tenant, target });
      },
    });
    limitsRoute(scope, services);
    quotaRoute(scope, services);
    usageRoute(scope, services);
    hostsRoutes(scope, services);
    tenantRoutes(scope, services);
    policyRoutes(scope, services);
    keyRoutes(scope, services);
    auditRoutes(scope, services);
    listRoute(scope, services);
    getRoutes(scope, services);
    removeRoutes(scope, services);
    configRoutes(scope, services);
    aliasRoutes(scope, services);
    conditionsRoute(scope, services);
    warmRoute(scope, services);
    quarantineRoutes(scope, services);
    getRoute(scope, services);
    resultRoute(scope, services);
    logsRoute(scope, services);
    listInvocationsRoute(scope, services);
    purgeRoute(scope, services);
    getBatchRoute(scope, services);
    await scope.register(async (batches) => invokeBatchRoute(batches, services));
    secretRoutes(scope, services);
    cancelRoute(scope, services);
    webhookSecretRoutes(scope, services);
    deadLetterRoutes(scope, services);
    envelopeRoute(scope, services);
    await scope.register(async (raw) => rawRoute(raw, services));
    await scope.register(async (upload) => uploadRoute(upload, services));
  });
  await app.ready();
  return app;
}

interface DrainParts {
  readonly app: FastifyInstance;
  readonly invoker: Invoker;
  readonly waiters: Waiters;
  readonly ends: EndWatch;
  readonly closeParts: () => Promise<void>;
  readonly drainMs: number;
}

async function drainGateway({ app, invoker, waiters, ends, closeParts, drainMs }: DrainParts): Promise<void> {
  invoker.beginDrain();
  // Who waits for the end of a call that outlives its connection is told what is known, and asks another gateway.
  ends.close();
  await waiters.idle(drainMs);
  for (const waiter of waiters.all()) waiters.end(waiter.token, { kind: 'drained' });
  const closed = app.close();
  // A connection that was busy when the close began stays open for its next request; nobody else closes it.
  const idle = setInterval(() => app.server.closeIdleConnections(), CLOSE_IDLE_MS);
  const late = setTimeout(() => app.server.closeAllConnections(), CLOSE_GRACE_MS);
  try {
    await closed;
  } finally {
    clearInterval(idle);
    clearTimeout(late);
  }
  await closeParts();
}

function once(action: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => {
    running ??= action();
    return running;
  };
}
