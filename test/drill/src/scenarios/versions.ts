import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  ASYNC_QUEUE,
  DEFAULT_MEMORY,
  keys,
  parseRedisUrl,
  QUEUE_PREFIX,
  type RedisAddress,
} from '@mayfly/contracts';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { root } from '../../../helpers/root.js';
import type { Fleet } from '../fleet.js';
import { workOf } from '../history.js';
import { ask } from '../load.js';
import { play, type Scenario, type Stage } from '../scenario.js';

const TENANT = 'default';
const LIMIT_MS = 20_000;
const STEPS = 1_000;

export const versions: Scenario = {
  name: 'versions',
  title:
    'gateways of this release with a worker of the first one, and workers of this one with jobs of others',
  run: () =>
    play({
      async faults(stage) {
        await withOldWorker(stage);
        await withOldAndNewJobs(stage);
        return {};
      },
    }),
};

/** The first release's worker, as far as queue, record and heartbeat go: its guest answers what `Work` does. */
async function withOldWorker({ fleet, history, count, broken }: Stage): Promise<void> {
  await Promise.all(fleet.workers.map((worker) => worker.end('SIGTERM')));
  const redis = connect(fleet.redis.urls.worker);
  const workerId = 'w-old';
  const beat = async () => {
    const fields = { hostName: 'old', startedAtMs: 0, slots: 1, callsInFlight: 0, draining: 0 };
    await redis.hset(keys.worker(workerId), { ...fields, isolation: 'process', kvm: 'hardware' });
    await redis.zadd(keys.workers, Date.now(), workerId);
  };
  await beat();
  const beats = setInterval(() => void beat().catch(() => undefined), 1_000);
  const worker = new Worker(
    ASYNC_QUEUE,
    async ({ data }) => {
      for (const item of data.items) {
        const record = firstRecord(data.function, item, workerId);
        const key = keys.firstRecord(TENANT, item.invocationId);
        await redis.set(key, JSON.stringify(record), 'PX', 60_000, 'NX');
      }
    },
    { connection: redis, prefix: QUEUE_PREFIX, name: workerId },
  );
  worker.on('error', () => undefined);
  try {
    const entry = await ask(fleet, history, { lane: 'async', steps: STEPS, gateway: 0 });
    const state = await stateOf(fleet, entry.invocationId ?? '');
    if (state === 'succeeded') count('calls that a worker of the first release ran');
    else broken(`a call that a worker of the first release ran is ${state}`);
  } finally {
    clearInterval(beats);
    await worker.close();
    await redis.zrem(keys.workers, workerId);
    redis.disconnect();
    for (const own of fleet.workers) own.start();
    await fleet.healed();
  }
}

/** Jobs as the first release's gateway made them, and as later ones may. */
async function withOldAndNewJobs({ fleet, count, broken }: Stage): Promise<void> {
  const redis = connect(fleet.redis.url);
  const queue = new Queue(ASYNC_QUEUE, { connection: redis, prefix: QUEUE_PREFIX });
  const elf = await readFile(path.join(root, 'guests/build/spin.elf'));
  const ref = {
    ...{ tenant: TENANT, name: 'spin', version: 1, memory: DEFAULT_MEMORY },
    ...{ artifactSha256: createHash('sha256').update(elf).digest('hex'), artifactBytes: elf.byteLength },
  };
  const add = async (v: number, more: object) => {
    const item = {
      ...{ invocationId: `inv_${randomBytes(16).toString('hex')}`, entrypoint: 'Work', returns: 'uint' },
      input: { kind: 'args', args: [{ type: 'uint', value: STEPS }] },
      ...{ timeoutMs: 2_000, acceptedAtMs: Date.now(), ...more },
    };
    const job = { v, function: { ...ref, ...more }, items: [item], ...more };
    await queue.add('invoke', job, { jobId: item.invocationId, attempts: 3, removeOnComplete: true });
    return item.invocationId;
  };
  try {
    const ids = {
      'jobs of the first release': await add(1, {}),
      'jobs with fields of a later release': await add(1, { ofALaterRelease: { deep: [1] } }),
    };
    const unreadable = await add(99, {});
    for (const [name, id] of Object.entries(ids)) {
      const state = await stateOf(fleet, id);
      if (state === 'succeeded') count(name);
      else broken(`one of the ${name} is ${state}`);
    }
    await until(async () => (await queue.getJobState(unreadable)) === 'failed');
    if ((await queue.getJobState(unreadable)) === 'failed')
      count('jobs of an unknown version, failed by name');
    else broken('a job of an unknown version did not fail');
  } finally {
    await queue.close();
    redis.disconnect();
  }
}

function firstRecord(
  ref: { name: string; version: number },
  item: Record<string, unknown>,
  workerId: string,
) {
  const { invocationId, entrypoint, returns, acceptedAtMs } = item;
  return {
    ...{ v: 1, invocationId, tenant: TENANT, function: ref.name, version: ref.version, entrypoint, returns },
    ...{ outcome: 'succeeded', result: { kind: 'inline', value: { type: 'uint', value: workOf(STEPS) } } },
    timings: { queueUs: 1, acquireUs: 1, restoreUs: 1, runUs: 1, resultUs: 1, totalUs: 5 },
    usage: { cpuUs: 1, exits: 1, hostCalls: 0, dirtyPages: 1, source: 'warm' },
    ...{ logTail: '', attempt: 1, workerId, acceptedAtMs, finishedAtMs: Date.now() },
  };
}

async function stateOf(fleet: Fleet, invocationId: string): Promise<unknown> {
  let state: unknown;
  await until(async () => {
    const answer = await fleet.request(1, `/v1/invocations/${invocationId}`);
    state = answer.ok ? ((await answer.json()) as { state?: unknown }).state : answer.status;
    return state === 'succeeded' || state === 'failed';
  });
  return state;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = Date.now() + LIMIT_MS;
  while (!(await condition()) && Date.now() < deadlineMs) await delay(100);
}

function connect(url: string): Redis {
  return new Redis({ ...(parseRedisUrl(url) as RedisAddress), maxRetriesPerRequest: null });
}
