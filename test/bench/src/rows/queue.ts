import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  ASYNC_QUEUE,
  DEFAULT_MEMORY,
  DEFAULT_QUOTAS,
  type InvocationRecord,
  keys,
  QUEUE_PREFIX,
} from '@mayfly/contracts';
import { Gate } from '@mayfly/queue';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { startChild, stopChild } from '../child.js';
import { connect } from '../floors/redis.js';
import { type BenchContext, type Benchmark, median, type Row, row } from '../row.js';

const SLOTS = 8;
const WINDOW = 2 * SLOTS;
const RUN_MS = 5;
const FLOOD = 4_000;
const LIGHT_TENANTS = 5;
const LIGHT_EVERY_MS = 50;
const ROUNDS = 2;
const AT_ONCE = 500;
const WEIGHTED = 1_500;
const WEIGHTED_COUNTED = 800;
const ADMISSIONS = 2_000;
const NO_ATTEMPTS = { attempts: 1, removeOnComplete: true };

/** Lets calls come in, in whatever way is measured. */
type Enter = (tenant: string, invocationIds: readonly string[]) => Promise<unknown>;

/**
 * platform 3.2: one tenant has 4,000 calls of 5 ms, five others one each 50 ms, on 8 slots. Each call is a guest's on
 * KVM that waits for an asynchronous host function, behind the floor as behind the gate. `flood-light` is the light
 * tenants' p50 against that behind a single FIFO; `flood-total` the time until all have run against the same.
 */
export const queueRows: Benchmark = {
  rows: ['flood-light', 'flood-total', 'weights', 'admission'],
  async run(context) {
    const { redis, url, stop } = await startRedis(context);
    const gate = new Gate(redis);
    const fifo = new Queue(ASYNC_QUEUE, { connection: redis, prefix: QUEUE_PREFIX });
    const children: ChildProcess[] = [];
    try {
      const rows: Row[] = [];
      if (context.wanted.includes('admission')) rows.push(await admission(gate, redis, fifo));
      const guest = path.join(context.root, 'guests/build/hostcalls.elf');
      children.push(await startChild('floors/flood-worker.js', [url, `${SLOTS}`, `${RUN_MS}`, guest]));
      const throughGate: Enter = (tenant, ids) => gate.admit(wanted(tenant, ids));
      const throughFifo: Enter = (tenant, ids) =>
        fifo.addBulk(ids.map((id) => ({ name: 'invoke', data: jobOf(tenant, id), opts: NO_ATTEMPTS })));
      const ours: Flooded[] = [];
      const theirs: Flooded[] = [];
      // BullMQ's path is hot after some thousand jobs: the first round is not counted.
      for (let round = 0; round <= ROUNDS; round += 1) {
        ours.push(await flood(redis, throughGate, `gate${round}`));
        theirs.push(await flood(redis, throughFifo, `fifo${round}`));
      }
      const counted = (all: Flooded[], what: keyof Flooded) => all.slice(1).map((one) => one[what]);
      for (const [name, what] of FLOOD_ROWS)
        rows.push(row(name, 'ms', counted(ours, what), counted(theirs, what)));
      const share = await weights(redis, gate, throughGate);
      rows.push(row('weights', 'calls', [share.three], [share.one]));
      return rows;
    } finally {
      for (const child of children) await stopChild(child);
      await fifo.close();
      redis.disconnect();
      await stop();
    }
  },
};

interface Flooded {
  readonly totalMs: number;
  readonly lightP50Ms: number;
}

const FLOOD_ROWS = [
  ['flood-light', 'lightP50Ms'],
  ['flood-total', 'totalMs'],
] as const;

async function flood(redis: Redis, enter: Enter, name: string): Promise<Flooded> {
  const startedAt = performance.now();
  const heavy = names(`${name}-heavy`, FLOOD);
  for (let i = 0; i < FLOOD; i += AT_ONCE) await enter('heavy', heavy.slice(i, i + AT_ONCE));
  const light: [tenant: string, id: string][] = [];
  const last = heavy.at(-1) ?? '';
  for (let n = 0; (await redis.exists(keys.record('heavy', last))) === 0; n += 1) {
    for (let t = 0; t < LIGHT_TENANTS; t += 1) {
      const call: [string, string] = [`light${t}`, idOf(`${name}-light${t}-${n}`)];
      light.push(call);
      await enter(call[0], [call[1]]);
    }
    await delay(LIGHT_EVERY_MS);
  }
  await untilEnded(redis, 'heavy', heavy);
  const totalMs = performance.now() - startedAt;
  for (const id of heavy) await recordOf(redis, 'heavy', id);
  const waits: number[] = [];
  for (const [tenant, id] of light) {
    await untilEnded(redis, tenant, [id]);
    const { acceptedAtMs, finishedAtMs } = await recordOf(redis, tenant, id);
    waits.push(finishedAtMs - acceptedAtMs);
  }
  return { totalMs, lightP50Ms: median(waits) };
}

/** Of the calls that ran while both had more: how many were whose. */
async function weights(redis: Redis, gate: Gate, enter: Enter) {
  await gate.configure('three', { ...DEFAULT_QUOTAS, weight: 3, isPaused: true });
  await gate.configure('one', { ...DEFAULT_QUOTAS, weight: 1, isPaused: true });
  for (const tenant of ['one', 'three'])
    for (let i = 0; i < WEIGHTED; i += AT_ONCE)
      await enter(tenant, names(tenant, WEIGHTED).slice(i, i + AT_ONCE));
  await gate.configure('one', { ...DEFAULT_QUOTAS, weight: 1, isPaused: false });
  await gate.configure('three', { ...DEFAULT_QUOTAS, weight: 3, isPaused: false });
  const ends: { tenant: string; atMs: number }[] = [];
  for (const tenant of ['one', 'three']) {
    await untilEnded(redis, tenant, names(tenant, WEIGHTED));
    for (const id of names(tenant, WEIGHTED))
      ends.push({ tenant, atMs: (await recordOf(redis, tenant, id)).finishedAtMs });
  }
  ends.sort((a, b) => a.atMs - b.atMs);
  // The first ones had the workers to themselves.
  const first = ends.slice(2 * WINDOW, 2 * WINDOW + WEIGHTED_COUNTED);
  const three = first.filter(({ tenant }) => tenant === 'three').length;
  return { three, one: first.length - three };
}

/** CPU of Redis for one admission with its job, against that of BullMQ's own way in. */
async function admission(gate: Gate, redis: Redis, fifo: Queue): Promise<Row> {
  const cpu = async () => {
    const info = await redis.info('cpu');
    const of = (name: string) => Number(new RegExp(`${name}:([\\d.]+)`).exec(info)?.[1]);
    return (of('used_cpu_user') + of('used_cpu_sys')) * 1e6;
  };
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    const ids = names(`a${round}`, ADMISSIONS);
    let before = await cpu();
    for (const id of ids) await gate.admit({ ...wanted('acme', [id]), window: 1e9 });
    ours.push(((await cpu()) - before) / ADMISSIONS);
    before = await cpu();
    for (const id of ids) await fifo.add('invoke', jobOf('acme', id), { ...NO_ATTEMPTS, jobId: `f-${id}` });
    theirs.push(((await cpu()) - before) / ADMISSIONS);
  }
  await redis.flushall();
  return row('admission', 'us', ours, theirs);
}

const idOf = (name: string) => `inv_${createHash('sha256').update(name).digest('hex').slice(0, 32)}`;
const names = (name: string, count: number) => Array.from({ length: count }, (_, n) => idOf(`${name}-${n}`));

const functionOf = (tenant: string) => ({
  ...{ tenant, name: 'wait', version: 1, artifactSha256: '0'.repeat(64), artifactBytes: 1 },
  memory: DEFAULT_MEMORY,
});

const itemOf = (invocationId: string) => ({
  ...{ invocationId, entrypoint: 'RelayVoid', input: { kind: 'args', args: [] }, returns: 'void' },
  ...{ timeoutMs: 1_000, acceptedAtMs: Date.now() },
});

const jobOf = (tenant: string, id: string) => ({ v: 1, function: functionOf(tenant), items: [itemOf(id)] });

function wanted(tenant: string, ids: readonly string[]) {
  return {
    ...{ class: 'async' as const, tenant, function: 'wait', quotas: DEFAULT_QUOTAS, window: WINDOW },
    ...{ maxQueueDepth: 1e6, startWithinMs: 0, leaseMs: 60_000, expiresAtMs: 0 },
    head: `{"v":1,"function":${JSON.stringify(functionOf(tenant))},"items":[`,
    tail: ']}',
    calls: ids.map((invocationId) => ({
      ...{ invocationId, acceptedAtMs: Date.now(), item: JSON.stringify(itemOf(invocationId)) },
    })),
  };
}

/** @throws for a call that did not wait for its host function: it would make the measured order worth nothing. */
async function recordOf(redis: Redis, tenant: string, id: string): Promise<InvocationRecord> {
  const record = JSON.parse((await redis.get(keys.record(tenant, id))) ?? '') as InvocationRecord;
  const { outcome, usage, timings, detail } = record;
  if (outcome !== 'succeeded' || usage.hostCalls !== 1 || timings.runUs < (RUN_MS - 1) * 1000)
    throw new TypeError(`${id} of ${tenant}: ${outcome} ${detail?.message ?? ''} after ${timings.runUs} us`);
  return record;
}

async function untilEnded(redis: Redis, tenant: string, ids: readonly string[]): Promise<void> {
  const records = ids.map((id) => keys.record(tenant, id));
  while ((await redis.exists(...records)) < records.length) await delay(10);
}

async function startRedis({ scratchFolder }: BenchContext) {
  const socket = path.join(scratchFolder, 'queue.sock');
  const words = ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', scratchFolder];
  const server = spawn('redis-server', words, { stdio: 'ignore' });
  const exited = once(server, 'exit');
  for (let tries = 0; tries < 500; tries += 1) {
    if (
      await access(socket).then(
        () => true,
        () => false,
      )
    )
      break;
    await delay(10);
  }
  const url = `redis+unix://${socket}`;
  const stop = async () => {
    server.kill('SIGKILL');
    await exited;
  };
  return { redis: connect(url), url, stop };
}
