import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import {
  ASYNC_QUEUE,
  channels,
  encodeReply,
  formatCancelReport,
  type InvocationItem,
  type InvocationJob,
  type InvocationRecord,
  keys,
  parseCancelOrder,
  QUEUE_PREFIX,
  SYNC_QUEUE,
} from '@mayfly/contracts';
import { Attempts, type CallClass, Ledger } from '@mayfly/queue';
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';

/** What a script says a call ends as; the rest of the record is filled in. */
export type ScriptedEnd = Partial<InvocationRecord> & { readonly body?: Uint8Array };
export type Script = (
  item: InvocationItem,
  job: InvocationJob,
) => ScriptedEnd | Promise<ScriptedEnd> | 'silence';

export interface ScriptedWorkerOptions {
  readonly redisPath: string;
  /**
   * How answers reach the gateway. `record`: only the record is written, nobody is told; `told`: no record is.
   * @defaultValue 'socket'
   */
  readonly answers?: 'socket' | 'channel' | 'record' | 'told';
  readonly concurrency?: number;
  /** Whether it does what orders to cancel say, or is a process that stands still. @defaultValue 'obey' */
  readonly cancels?: 'obey' | 'never';
}

interface Held {
  readonly item: InvocationItem;
  readonly job: InvocationJob;
  readonly kind: CallClass;
}

/** The worker's side of the queue, the reply socket and the records, with scripts in place of guests. */
export class ScriptedWorker {
  /** Every job that was taken, in order. */
  readonly jobs: InvocationJob[] = [];
  script: Script;
  readonly #options: ScriptedWorkerOptions;
  readonly #redis: Redis;
  readonly #ledger: Ledger;
  readonly #workers: Worker[];
  readonly #sockets = new Map<string, Socket>();
  readonly #attempts: Attempts;
  /** Hears orders to cancel. */
  readonly #subscriber: Redis;
  #isClosing = false;
  /** Calls that run, by invocation id. */
  readonly #held = new Map<string, Held>();

  constructor(script: Script, options: ScriptedWorkerOptions) {
    this.script = script;
    this.#options = options;
    this.#redis = new Redis({ path: options.redisPath, maxRetriesPerRequest: null });
    this.#ledger = new Ledger(this.#redis);
    const { redisPath, concurrency = 4 } = options;
    this.#workers = [SYNC_QUEUE, ASYNC_QUEUE].map(
      (queue) =>
        new Worker<InvocationJob>(queue, (job) => this.#process(job.data, queue), {
          connection: { path: redisPath, maxRetriesPerRequest: null },
          prefix: QUEUE_PREFIX,
          concurrency,
        }),
    );
    for (const worker of this.#workers) worker.on('error', () => undefined);
    this.#attempts = new Attempts(this.#redis);
    this.#subscriber = new Redis({ path: redisPath, maxRetriesPerRequest: null });
    for (const redis of [this.#redis, this.#subscriber]) redis.on('error', () => undefined);
    this.#subscriber.on('message', (_channel, message) => {
      this.#obey(message).catch((error: unknown) => {
        // An order that comes while it closes finds its connection gone.
        if (!this.#isClosing) throw error;
      });
    });
  }

  /** Resolves once jobs are taken; `alive` makes the gateway ready, too. */
  async ready(): Promise<this> {
    await Promise.all(this.#workers.map((worker) => worker.waitUntilReady()));
    await this.#subscriber.subscribe(channels.cancel);
    await this.beat();
    return this;
  }

  async beat(): Promise<void> {
    await this.#redis.zadd(keys.workers, Date.now(), 'scripted');
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.all(this.#workers.map((worker) => worker.close(true)));
    for (const socket of this.#sockets.values()) socket.destroy();
    this.#redis.disconnect();
    this.#subscriber.disconnect();
  }

  /** Kills the call, as far as a script can be killed: its record says so, and what it answers later is dropped. */
  async #obey(message: string): Promise<void> {
    const order = parseCancelOrder(message);
    if (order === undefined || this.#options.cancels === 'never') return;
    const { orderId, gatewayId, invocationId } = order;
    const held = this.#held.get(invocationId);
    this.#held.delete(invocationId);
    if (held) await this.#end(held, { outcome: 'canceled', detail: { message: 'killed' } });
    const report = { orderId, finding: held ? 'ended' : 'none', by: 'scripted' } as const;
    await this.#redis.publish(channels.cancelReports.workers(gatewayId), formatCancelReport(report));
  }

  async #process(job: InvocationJob, queue: string): Promise<void> {
    this.jobs.push(job);
    const kind = queue === SYNC_QUEUE ? 'sync' : 'async';
    await Promise.all(job.items.map((item) => this.#run(item, job, kind)));
  }

  async #run(item: InvocationItem, job: InvocationJob, kind: CallClass): Promise<void> {
    const { invocationId } = item;
    const { tenant, version } = job.function;
    this.#held.set(invocationId, { item, job, kind });
    if (kind === 'async') {
      const begun = await this.#attempts.begin({
        ...{ tenant, invocationId, version },
        workerId: 'scripted',
      });
      if (begun) await this.#attempts.running(tenant, invocationId, begun.attempt);
    }
    const end = await this.script(item, job);
    if (end === 'silence' || !this.#held.delete(item.invocationId)) return;
    await this.#end({ item, job, kind }, end);
  }

  async #end({ item, job, kind }: Held, end: ScriptedEnd): Promise<void> {
    const { body = new Uint8Array(), ...fields } = end;
    const record = recordOf(item, job, fields);
    const { answers = 'socket' } = this.#options;
    if (answers !== 'told') await this.#ledger.settle([{ class: kind, record }]);
    if (item.replyToken === undefined || job.reply === undefined || answers === 'record') return;
    if (answers === 'channel')
      await this.#redis.publish(
        channels.reply(job.reply.gatewayId),
        `${item.replyToken} ${record.tenant} ${record.invocationId}`,
      );
    else
      (await this.socket(job.reply.socketPath ?? '')).write(
        encodeReply({ token: item.replyToken, record, body }),
      );
  }

  async socket(path: string): Promise<Socket> {
    const known = this.#sockets.get(path);
    if (known !== undefined && !known.destroyed) return known;
    const socket = createConnection(path);
    // A gateway that a test has ended takes no answers.
    socket.on('error', () => undefined);
    this.#sockets.set(path, socket);
    await once(socket, 'connect');
    return socket;
  }
}

export function recordOf(
  item: InvocationItem,
  job: InvocationJob,
  fields: Partial<InvocationRecord>,
): InvocationRecord {
  const { tenant, name, version } = job.function;
  return {
    v: 1,
    invocationId: item.invocationId,
    tenant,
    function: name,
    version,
    ...(item.alias && { alias: item.alias.name }),
    entrypoint: item.entrypoint,
    returns: item.returns,
    outcome: 'succeeded',
    timings: { queueUs: 700, acquireUs: 20, restoreUs: 30, runUs: 40, resultUs: 10, totalUs: 800 },
    usage: { cpuUs: 3, exits: 1, hostCalls: 0, dirtyPages: 16, source: 'warm' },
    logTail: '',
    attempt: 1,
    workerId: 'scripted',
    acceptedAtMs: item.acceptedAtMs,
    finishedAtMs: item.acceptedAtMs + 1,
    ...fields,
  };
}

/** Answers each call with its own first argument or body, in the type that the call wants. */
export const echo: Script = (item) => {
  if (item.returns === 'void') return {};
  if (item.input.kind === 'body') {
    const value =
      item.returns === 'bytes' ? item.input.base64 : Buffer.from(item.input.base64, 'base64').toString();
    return { result: { kind: 'inline', value: { type: item.returns, value } } };
  }
  if (item.input.kind === 'args') {
    const { value } = item.input.args[0] ?? {};
    return {
      result: { kind: 'inline', value: { type: item.returns, ...(value !== undefined && { value }) } },
    };
  }
  return { outcome: 'host-fault', detail: { message: 'the script reads no blobs' } };
};
