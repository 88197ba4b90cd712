import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LocalBlobStore } from '@mayfly/blobs';
import {
  ASYNC_QUEUE,
  DATA_FOLDERS,
  DEFAULT_MEMORY,
  type FunctionRef,
  type InvocationItem,
  type InvocationRecord,
  type JsonValue,
  jobVersionOf,
  keys,
  parseRedisUrl,
  QUEUE_PREFIX,
  type ReturnType,
  SYNC_QUEUE,
} from '@mayfly/contracts';
import { Gate } from '@mayfly/queue';
import { type JobsOptions, Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { invocationItem, replyToken } from '../../apps/worker/test/helpers/jobs.js';
import { ReplyServer } from '../../apps/worker/test/helpers/reply-server.js';
import { root } from '../helpers/mayfly.js';
import { type RedisServer, startRedis } from '../helpers/redis.js';

const TENANT = 'acme';
const POLL_MS = 10;

export interface WorkerProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  output(): string;
  /** Resolves when the process has ended, by itself or by a signal. */
  ended(): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

/** Real Redis and real worker processes, with this process in the gateway's place. */
export class WorkerHost {
  readonly server: RedisServer;
  readonly redis: Redis;
  readonly replies: ReplyServer;
  readonly blobs: LocalBlobStore;
  /** What `MAYFLY_DATA_DIR` names. */
  readonly directory: string;
  readonly #queues: Record<'sync' | 'async', Queue>;
  readonly #workers: WorkerProcess[] = [];

  private constructor(parts: { server: RedisServer; replies: ReplyServer; directory: string }) {
    this.server = parts.server;
    this.replies = parts.replies;
    this.directory = parts.directory;
    this.blobs = new LocalBlobStore(path.join(parts.directory, DATA_FOLDERS.blobs));
    this.redis = new Redis({ ...parseRedisUrl(parts.server.url), maxRetriesPerRequest: null });
    const options = { connection: this.redis, prefix: QUEUE_PREFIX };
    this.#queues = { sync: new Queue(SYNC_QUEUE, options), async: new Queue(ASYNC_QUEUE, options) };
  }

  static async start(): Promise<WorkerHost> {
    const directory = await mkdtemp(path.join(tmpdir(), 'mf-worker-host-'));
    return new WorkerHost({ server: await startRedis(), replies: await ReplyServer.start(), directory });
  }

  /** A worker process, once it takes calls. */
  async startWorker(workerId: string, env: Record<string, string> = {}): Promise<WorkerProcess> {
    const worker = this.spawnWorker({ MAYFLY_WORKER_ID: workerId, ...env });
    while ((await this.redis.zscore(keys.workers, workerId)) === null) {
      if (worker.child.exitCode !== null) throw new Error(`the worker ended:\n${worker.output()}`);
      await poll();
    }
    return worker;
  }

  /** A worker process, not waited for. `under`: a command that runs it. */
  spawnWorker(env: Record<string, string>, under: readonly string[] = []): WorkerProcess {
    const [command, ...words] = [...under, process.execPath, path.join(root, 'apps/worker/dist/main.js')];
    const child = spawn(command as string, words, {
      env: {
        PATH: process.env['PATH'] ?? '',
        MAYFLY_REDIS_URL: this.server.urls.worker,
        MAYFLY_DATA_DIR: this.directory,
        MAYFLY_TENANT: TENANT,
        MAYFLY_WORKER_METRICS_PORT: '0',
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const chunks: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    const worker: WorkerProcess = {
      child,
      pid: child.pid ?? 0,
      output: () => Buffer.concat(chunks).toString('utf8'),
      ended: async () => {
        const [code, signal] = await exited;
        return { code, signal };
      },
    };
    this.#workers.push(worker);
    return worker;
  }

  /** Puts a guest of `guests/build` where workers find it, for the tenant `overrides` names. */
  async publish(guest: string, overrides: Partial<FunctionRef> = {}): Promise<FunctionRef> {
    const elf = await readFile(path.join(root, 'guests/build', `${guest}.elf`));
    const { sha256, lengthBytes } = await this.blobs.put(overrides.tenant ?? TENANT, elf);
    return {
      tenant: TENANT,
      name: guest,
      version: 1,
      artifactSha256: sha256,
      artifactBytes: lengthBytes,
      memory: DEFAULT_MEMORY,
      ...overrides,
    };
  }

  /** Adds a job of these calls; on the sync lane each gets a reply token. */
  async add(
    lane: 'sync' | 'async',
    ref: FunctionRef,
    items: readonly InvocationItem[],
    options: JobsOptions = {},
  ): Promise<readonly InvocationItem[]> {
    const reply = { gatewayId: 'g1', socketPath: this.replies.socketPath };
    const sent = lane === 'sync' ? items.map((item) => ({ ...item, replyToken: replyToken() })) : [...items];
    await this.#queues[lane].add(
      'invoke',
      { v: jobVersionOf(ref), function: ref, items: sent, ...(lane === 'sync' ? { reply } : {}) },
      { attempts: lane === 'sync' ? 1 : 3, removeOnComplete: true, ...options },
    );
    return sent;
  }

  /** One sync call, to its record. */
  async call(ref: FunctionRef, item: InvocationItem): Promise<InvocationRecord> {
    await this.add('sync', ref, [item]);
    return this.recorded(item.invocationId, ref.tenant);
  }

  async record(invocationId: string, tenant = TENANT): Promise<InvocationRecord | undefined> {
    const json = await this.redis.get(keys.record(tenant, invocationId));
    return json === null ? undefined : (JSON.parse(json) as InvocationRecord);
  }

  /** The record, once it is there. Pumps what is put off, as gateways do. */
  async recorded(invocationId: string, tenant = TENANT): Promise<InvocationRecord> {
    const gate = new Gate(this.redis);
    for (;;) {
      await gate.pump(8);
      const record = await this.record(invocationId, tenant);
      if (record) return record;
      await poll();
    }
  }

  /** Resolves once so many jobs of the lane run. */
  async active(lane: 'sync' | 'async', count: number): Promise<void> {
    while ((await this.#queues[lane].getActiveCount()) < count) await poll();
  }

  async stop(): Promise<void> {
    for (const worker of this.#workers) {
      if (worker.child.exitCode === null && worker.child.signalCode === null) worker.child.kill('SIGKILL');
      await worker.ended();
    }
    await this.replies.stop();
    for (const queue of Object.values(this.#queues)) await queue.close();
    this.redis.disconnect();
    await this.server.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export function callOf(
  entrypoint: string,
  args: readonly JsonValue[],
  returns: ReturnType,
  overrides: Partial<InvocationItem> = {},
): InvocationItem {
  return invocationItem({ entrypoint, input: { kind: 'args', args }, returns, ...overrides });
}

function poll(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, POLL_MS));
}
