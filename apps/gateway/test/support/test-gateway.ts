import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalBlobStore } from '@mayfly/blobs';
import { SCOPES } from '@mayfly/contracts';
import { checkElf } from '@mayfly/hypervisor/elf';
import type { SecretKeys } from '@mayfly/secrets';
import type { Telemetry } from '@mayfly/telemetry';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { type RedisServer, startRedis } from '../../../../test/helpers/redis.js';
import { buildApp, type Gateway, type GatewayDeps } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import type { KeyRequest, MadeKey } from '../../src/tenants/key-admin.js';
import type { Answer, AnswerBody } from './answer-body.js';
import { tinyElf } from './elf.js';
import { echo, type Script, ScriptedWorker, type ScriptedWorkerOptions } from './scripted-worker.js';

export const TENANT_KEY = 'mf_test_key_0123456789';

export interface TestGatewayOptions {
  readonly env?: Record<string, string>;
  readonly queueWaitMs?: number;
  readonly telemetry?: Telemetry<'gateway'>;
  readonly secretKeys?: SecretKeys;
  /** What `buildApp` takes beyond these. */
  readonly deps?: Partial<GatewayDeps>;
  /** A Redis of the test's own. @defaultValue a fresh one */
  readonly redis?: RedisServer;
}

export interface TestGateway extends Gateway {
  readonly url: string;
  readonly redis: RedisServer;
  readonly dataDir: string;
  readonly blobs: LocalBlobStore;
  /** What the gateway logged, as parsed lines. */
  readonly log: readonly Record<string, unknown>[];
  readonly socketPath: string;
  fetch(path: string, init?: RequestInit): Promise<Answer>;
  /** A request with another key. */
  as(key: string, path: string, init?: RequestInit): Promise<Answer>;
  /** A request with an operator's key; an object becomes a JSON body. */
  operator(path: string, init?: RequestInit & { readonly json?: unknown }): Promise<Answer>;
  /** Makes a tenant, and a key of it. */
  newKey(tenant: string, wanted?: Partial<KeyRequest>): Promise<MadeKey>;
  invoke(body: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** `prepared`: as though a worker had made the snapshot before the answer came. @defaultValue true */
  upload(
    name: string,
    manifest?: unknown,
    binary?: Uint8Array,
    options?: { readonly prepared?: boolean },
  ): Promise<Answer>;
  startWorker(script?: Script, options?: Partial<ScriptedWorkerOptions>): Promise<ScriptedWorker>;
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

/** A gateway over a real Redis and real HTTP, closed when the test ends. */
export async function startGateway(options: TestGatewayOptions = {}): Promise<TestGateway> {
  const redis = options.redis ?? (await startRedis());
  if (options.redis === undefined) onTestFinished(() => redis.stop());
  const dataDir = await mkdtemp(join(tmpdir(), 'mf-gw-'));
  onTestFinished(() => rm(dataDir, { recursive: true, force: true }));
  const log: Record<string, unknown>[] = [];
  const config = loadConfig({
    MAYFLY_PORT: '0',
    MAYFLY_DATA_DIR: dataDir,
    MAYFLY_REDIS_URL: redis.urls.gateway,
    MAYFLY_TENANT_KEY: TENANT_KEY,
    MAYFLY_GATEWAY_DRAIN_MS: '2000',
    ...options.env,
  });
  const blobs = new LocalBlobStore(join(dataDir, 'blobs'));
  const gateway = await buildApp({
    config,
    logger: pino({}, { write: (line) => void log.push(JSON.parse(line)) }),
    blobs,
    checkArtifact: checkElf,
    ...(options.queueWaitMs !== undefined && { queueWaitMs: options.queueWaitMs }),
    ...options.deps,
    ...(options.secretKeys && { secretKeys: options.secretKeys }),
    ...(options.telemetry && { telemetry: options.telemetry }),
  });
  onTestFinished(() => gateway.drain());
  const url = await gateway.app.listen({ host: config.host, port: config.port });

  const request = (path: string, init: RequestInit = {}): Promise<Answer> =>
    fetch(`${url}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${TENANT_KEY}`, ...init.headers },
    }) as Promise<Answer>;
  let operatorKey: Promise<MadeKey> | undefined;
  return {
    ...gateway,
    as: (key, path, init) => request(path, { ...init, headers: { ...init?.headers, ...bearer(key) } }),
    operator: async (path, { json, ...init } = {}) => {
      operatorKey ??= gateway.services.keyAdmin.create('test', '', { scopes: [] });
      const headers = { ...init.headers, ...bearer((await operatorKey).text) };
      if (json === undefined) return request(path, { ...init, headers });
      return request(path, {
        ...{ method: 'POST', body: JSON.stringify(json), ...init },
        headers: { 'content-type': 'application/json', ...headers },
      });
    },
    newKey: async (tenant, wanted = {}) => {
      const { tenantAdmin, directory, keyAdmin } = gateway.services;
      if (directory.tenant(tenant) === undefined) await tenantAdmin.create('test', tenant, {});
      return keyAdmin.create('test', tenant, { scopes: SCOPES, ...wanted });
    },
    ...{ url, redis, dataDir, blobs, log },
    socketPath: join(dataDir, 'run', `g-${config.gatewayId}.sock`),
    fetch: request,
    invoke: (body, headers = {}) =>
      request('/invoke', {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        headers: { 'content-type': 'application/json', ...headers },
      }),
    upload: async (name, manifest, binary = tinyElf(), { prepared = true } = {}) => {
      const form = new FormData();
      if (manifest !== undefined) form.append('manifest', JSON.stringify(manifest));
      form.append('binary', new Blob([new Uint8Array(binary)]), 'guest.elf');
      const answer = await request(`/v1/functions/${name}/versions`, { method: 'POST', body: form });
      if (!prepared || !answer.ok) return answer;
      const { version } = (await answer.clone().json()) as AnswerBody;
      const tenant = config.tenant;
      const report = {
        tenant,
        name,
        version,
        workerId: 'scripted',
        state: 'ready',
        atMs: Date.now(),
      } as const;
      await gateway.services.registry.report(report);
      gateway.services.cache.forget(tenant, name);
      return answer;
    },
    startWorker: async (script = echo, workerOptions = {}) => {
      const worker = new ScriptedWorker(script, { redisPath: redis.socketPath, ...workerOptions });
      onTestFinished(() => worker.close());
      return worker.ready();
    },
  };
}

/** Signatures of every type, as the echo guest has them, and some for raw calls. */
export const ECHO_MANIFEST = {
  entrypoints: {
    ...Object.fromEntries(
      ['int', 'uint', 'long', 'ulong', 'float', 'double', 'bool', 'string', 'bytes'].map((type) => [
        `echo-${type}`,
        { params: [type], returns: type },
      ]),
    ),
    Add: { params: ['int', 'int'], returns: 'int' },
    Nothing: { params: [], returns: 'void' },
    Svg: { params: ['string'], returns: 'string', contentType: 'image/svg+xml' },
    Png: { params: ['bytes'], returns: 'bytes', contentType: 'image/png' },
    Length: { params: ['bytes'], returns: 'int' },
  },
  default: 'echo-bytes',
};
