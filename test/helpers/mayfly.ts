import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type RedisServer, startRedis } from './redis.js';
import { root } from './root.js';

export { root };

const READY_TIMEOUT_MS = 30_000;

/** Whether micro-VMs can run here. A suite that needs them is skipped, and counted, when not. */
export const kvmWorks = (() => {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
})();

/** A gateway or worker as its own process. */
export interface Process {
  readonly pid: number;
  readonly child: ChildProcess;
  output(): string;
  /** Sends the signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

export interface Mayfly {
  readonly url: string;
  readonly redis: RedisServer;
  readonly dataDir: string;
  readonly gateway: Process;
  readonly workers: Process[];
  /** A request with the tenant key; `target` is a path. */
  request(target: string, init?: RequestInit): Promise<Response>;
  /** A request with an operator's key. */
  operator(target: string, init?: RequestInit): Promise<Response>;
  invoke(envelope: Record<string, unknown>): Promise<Response>;
  /** Uploads a guest of `guests/build` with its manifest, as the function of the same name. */
  upload(
    guest: string,
    options?: { readonly manifest?: Record<string, unknown>; readonly name?: string },
  ): Promise<Response>;
  startWorker(env?: Record<string, string>): Promise<Process>;
  /** Another gateway at the same address, in the place of one that has ended. */
  startGateway(): Promise<Process>;
  stop(): Promise<void>;
}

/** The whole system as an operator runs it: real Redis, real processes, real HTTP. */
export async function startMayfly(
  options: { workers?: number; env?: Record<string, string> } = {},
): Promise<Mayfly> {
  const redis = await startRedis({ aof: true });
  const dataDir = await mkdtemp(path.join(tmpdir(), 'mf-e2e-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const key = `test-${randomBytes(16).toString('hex')}`;
  const env = {
    MAYFLY_REDIS_URL: redis.urls.gateway,
    MAYFLY_DATA_DIR: dataDir,
    MAYFLY_PORT: `${port}`,
    MAYFLY_TENANT_KEY: key,
    MAYFLY_GATEWAY_METRICS_PORT: '0',
    MAYFLY_WORKER_METRICS_PORT: '0',
    ...options.env,
  };
  const workers: Process[] = [];
  const startWorker = async (extra: Record<string, string> = {}) => {
    const worker = start('apps/worker/dist/main.js', {
      ...env,
      MAYFLY_REDIS_URL: redis.urls.worker,
      ...extra,
    });
    workers.push(worker);
    return worker;
  };
  for (let i = 0; i < (options.workers ?? 1); i += 1) await startWorker();
  const gateway = start('apps/gateway/dist/server.js', env);
  const gateways = [gateway];

  const request = (target: string, init: RequestInit = {}) =>
    fetch(`${url}${target}`, {
      ...init,
      headers: { authorization: `Bearer ${key}`, ...(init.headers as Record<string, string>) },
    });
  let operatorKey: Promise<string> | undefined;
  const operator = async (target: string, init: RequestInit = {}) => {
    operatorKey ??= makeOperatorKey(env).then((made) => known(url, made));
    const authorization = `Bearer ${await operatorKey}`;
    return fetch(`${url}${target}`, {
      ...init,
      headers: { authorization, ...(init.headers as Record<string, string>) },
    });
  };
  const stop = async () => {
    await Promise.all([...gateways, ...workers].map((process) => process.end('SIGKILL')));
    await redis.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
  try {
    await ready(url, [gateway, ...workers]);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url,
    redis,
    dataDir,
    gateway,
    workers,
    request,
    operator,
    startWorker,
    async startGateway() {
      const next = start('apps/gateway/dist/server.js', env);
      gateways.push(next);
      await ready(url, [next]);
      return next;
    },
    stop,
    invoke: (envelope) =>
      request('/invoke', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(envelope),
      }),
    async upload(guest, { manifest, name = guest } = {}) {
      const build = path.join(root, 'guests/build');
      const form = new FormData();
      form.append(
        'manifest',
        manifest ? JSON.stringify(manifest) : await readFile(path.join(build, `${guest}.json`), 'utf8'),
      );
      form.append('binary', new Blob([await readFile(path.join(build, `${guest}.elf`))]), `${guest}.elf`);
      return request(`/v1/functions/${name}/versions`, { method: 'POST', body: form });
    },
  };
}

/** As an operator does it on the gateway's host. */
async function makeOperatorKey(env: Record<string, string>): Promise<string> {
  const command = start('apps/gateway/dist/operator-key.js', env);
  await once(command.child, 'close');
  const key = /^mfo_\S+$/m.exec(command.output())?.[0];
  if (key === undefined) throw new Error(`no operator key was made: ${command.output()}`);
  return key;
}

/** Starts a program of ours with nothing but this environment. `under`: a command that runs it. */
export function start(file: string, env: Record<string, string>, under: readonly string[] = []): Process {
  const [command = '', ...words] = [...under, process.execPath, path.join(root, file)];
  const child = spawn(command, words, {
    // A clean environment: what this machine happens to set must not reach the product.
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  return {
    pid: child.pid ?? 0,
    child,
    output: () => Buffer.concat(chunks).toString('utf8'),
    async end(signal) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      const [code, ended] = await exited;
      return { code, signal: ended };
    },
  };
}

/** Resolves once the gateway is ready; throws, with what they said, when one of the processes has ended. */
/** Resolves once the gateway has heard of a key that another process made. */
async function known(url: string, key: string): Promise<string> {
  const isKnown = async () =>
    (await fetch(`${url}/v1/hosts`, { headers: { authorization: `Bearer ${key}` } })).status !== 401;
  while (!(await isKnown())) await delay(20);
  return key;
}

export async function ready(url: string, processes: readonly Process[]): Promise<void> {
  const deadlineMs = Date.now() + READY_TIMEOUT_MS;
  for (;;) {
    const answer = await fetch(`${url}/readyz`).catch(() => undefined);
    if (answer?.ok) return;
    const dead = processes.find(({ child }) => child.exitCode !== null);
    if (dead || Date.now() > deadlineMs) {
      const outputs = processes.map((process) => process.output()).join('\n');
      throw new Error(`Mayfly is not ready (${answer?.status ?? 'no answer'}):\n${outputs}`);
    }
    await delay(50);
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
