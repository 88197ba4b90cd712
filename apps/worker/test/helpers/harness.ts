import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LocalBlobStore } from '@mayfly/blobs';
import {
  ASYNC_QUEUE,
  type InvocationJob,
  type InvocationRecord,
  keys,
  QUEUE_PREFIX,
  SYNC_QUEUE,
} from '@mayfly/contracts';
import { Gate } from '@mayfly/queue';
import { type JobsOptions, Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { type RedisServer, startRedis } from '../../../../test/helpers/redis.js';
import { connectRedis, disconnectRedis } from '../../src/redis.js';
import { buildWorker, type MayflyWorker, type WorkerDeps } from '../../src/worker.js';
import { ReplyServer } from './reply-server.js';
import { ScriptedImages } from './scripted-images.js';

const CONFIG: WorkerDeps['config'] = {
  workerId: 'w1',
  isolation: 'thread',
  slots: 2,
  callsAhead: 2,
  jobsAtOnce: 4,
  maxSandboxes: 64,
  maxMemoryBytes: 1_000_000,
  quarantineDeaths: 2,
  drainGraceMs: 5_000,
};

/** A worker over scripted guests, and the gateway's end of queue, reply socket and records, on a real Redis. */
export class Harness {
  readonly images = new ScriptedImages();
  readonly blobs: LocalBlobStore;
  readonly log: { readonly level: string; readonly fields: object; readonly message: string }[] = [];
  readonly queues: { readonly sync: Queue; readonly async: Queue };
  readonly server: RedisServer;
  readonly redis: Redis;
  readonly replies: ReplyServer;
  readonly gate: Gate;
  readonly #directory: string;
  readonly #ends: (() => Promise<void>)[] = [];

  private constructor(parts: { server: RedisServer; replies: ReplyServer; directory: string }) {
    this.server = parts.server;
    this.replies = parts.replies;
    this.#directory = parts.directory;
    this.blobs = new LocalBlobStore(parts.directory);
    this.redis = connectRedis(parts.server.url);
    this.redis.on('error', () => undefined);
    this.gate = new Gate(this.redis);
    const options = { connection: this.redis, prefix: QUEUE_PREFIX };
    this.queues = { sync: new Queue(SYNC_QUEUE, options), async: new Queue(ASYNC_QUEUE, options) };
    for (const queue of Object.values(this.queues)) queue.on('error', () => undefined);
  }

  static async start(): Promise<Harness> {
    const [server, replies, directory] = await Promise.all([
      startRedis(),
      ReplyServer.start(),
      mkdtemp(join(tmpdir(), 'mf-worker-')),
    ]);
    return new Harness({ server, replies, directory });
  }

  /** A worker that takes jobs. It is drained at the end of the test. */
  async startWorker(overrides: Partial<WorkerDeps['config']> = {}): Promise<MayflyWorker> {
    const redis = connectRedis(this.server.urls.worker);
    redis.on('error', () => undefined);
    const log = (level: string) => (fields: object, message: string) =>
      this.log.push({ level, fields, message });
    const worker = buildWorker({
      config: { ...CONFIG, ...overrides },
      redis,
      blobs: this.blobs,
      images: this.images,
      logger: { info: log('info'), warn: log('warn'), error: log('error') },
    });
    this.#ends.push(async () => {
      await worker.drain(0);
      await disconnectRedis(redis);
    });
    await worker.start();
    return worker;
  }

  /** Adds a job whose replies come to this harness. */
  async add(lane: 'sync' | 'async', job: InvocationJob, options: JobsOptions = {}): Promise<string> {
    const data = {
      ...job,
      ...(job.reply === undefined && lane === 'sync' ? { reply: this.replyAddress } : {}),
    };
    const added = await this.queues[lane].add('invoke', data, {
      attempts: 1,
      removeOnComplete: true,
      ...options,
    });
    return added.id ?? '';
  }

  get replyAddress() {
    return { gatewayId: 'g1', socketPath: this.replies.socketPath };
  }

  async record(invocationId: string): Promise<InvocationRecord | undefined> {
    const json = await this.redis.get(keys.record('acme', invocationId));
    return json === null ? undefined : (JSON.parse(json) as InvocationRecord);
  }

  /** The record, once it is there. */
  async recorded(invocationId: string): Promise<InvocationRecord> {
    for (;;) {
      const record = await this.record(invocationId);
      if (record) return record;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Resolves once no job waits, runs or is delayed. Pumps what is put off, as gateways do. */
  async drained(lane: 'sync' | 'async'): Promise<void> {
    for (;;) {
      const { waiting, nextDueMs } = await this.gate.pump(8);
      const counts = await this.queues[lane].getJobCounts('wait', 'active', 'delayed');
      const left = nextDueMs !== undefined || waiting[lane] > 0;
      if (!left && Object.values(counts).every((count) => count === 0)) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#ends.map((end) => end()));
    await this.replies.stop();
    for (const queue of Object.values(this.queues)) await queue.close();
    await disconnectRedis(this.redis);
    await this.server.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }
}
