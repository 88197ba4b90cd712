import { keys, versionKey } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { type RedisServer, startRedis } from '../../../test/helpers/redis.js';
import { Flights } from '../src/versions/flights.js';
import { QuarantineWatch } from '../src/versions/quarantine.js';
import { functionRef } from './helpers/jobs.js';

let server: RedisServer;
let redis: Redis;

beforeEach(async () => {
  server = await startRedis();
  redis = new Redis({ path: server.socketPath });
});
afterEach(async () => {
  redis.disconnect();
  await server.stop();
});

const KILLER = functionRef({ name: 'killer' });
const BYSTANDER = functionRef({ name: 'bystander', tenant: 'other' });
const onError = (error: unknown) => {
  throw error;
};

async function watch(workerId: string): Promise<{ flights: Flights; watch: QuarantineWatch }> {
  const client = redis.duplicate();
  onTestFinished(() => client.disconnect());
  const flights = new Flights({ redis: client, workerId, onError });
  const options = { redis: client, workerId, flights, deaths: 2, deadAfterMs: 1_500, onError };
  const started = new QuarantineWatch({ ...options, onQuarantine: () => undefined });
  await started.start();
  onTestFinished(() => started.stop());
  return { flights, watch: started };
}
/** A worker that ran these and was never heard of again. */
async function die(workerId: string, ...refs: (typeof KILLER)[]): Promise<void> {
  const flights = new Flights({ redis, workerId, onError });
  for (const ref of refs) flights.enter(ref);
  await redis.zadd(keys.flying, 1, workerId);
}
const stopped = () => redis.hkeys(keys.quarantined);

describe('flights', () => {
  it('are in Redis while they last', async () => {
    const { flights } = await watch('w1');
    flights.enter(KILLER);
    flights.enter(KILLER);
    flights.leave(KILLER);
    flights.sweep();
    expect(await redis.hkeys(keys.flights('w1'))).toEqual([versionKey(KILLER)]);
    flights.leave(KILLER);
    flights.sweep();
    await expect.poll(() => redis.hkeys(keys.flights('w1'))).toEqual([]);
  });
});

describe('a version that hosts die of', () => {
  it('is stopped after two deaths, and the one that ran beside it once is not', async () => {
    const judge = await watch('w1');
    await die('w2', KILLER, BYSTANDER);
    await die('w3', KILLER);
    await expect.poll(stopped, { timeout: 10_000 }).toEqual([versionKey(KILLER)]);
    await expect.poll(() => isStopped(judge.watch, KILLER)).toBe(true);
    expect(isStopped(judge.watch, BYSTANDER)).toBe(false);
    expect(await redis.exists(keys.flights('w2'), keys.flights('w3'))).toBe(0);
  }, 20_000);

  it('is known to a worker that starts, and runs again once an operator lifts it', async () => {
    const quarantine = { atMs: 1_000, workerIds: ['w2', 'w3'] };
    await redis.hset(keys.quarantined, versionKey(KILLER), JSON.stringify(quarantine));
    const { watch: one } = await watch('w1');
    expect(isStopped(one, KILLER)).toBe(true);
    await redis.hset(keys.lifted, versionKey(KILLER), 1_000);
    await expect.poll(() => isStopped(one, KILLER), { timeout: 5_000 }).toBe(false);
    await expect.poll(stopped).toEqual([]);
  });

  it('counts a death of the process that had the same worker id before', async () => {
    await die('w1', KILLER);
    await watch('w1');
    await die('w1', KILLER);
    await watch('w1');
    expect(await redis.llen(keys.deaths)).toBe(2);
    expect(await stopped()).toEqual([versionKey(KILLER)]);
  });

  it('is not to blame where a worker ended in order', async () => {
    for (let i = 0; i < 3; i += 1) {
      const { flights, watch: one } = await watch('w1');
      flights.enter(KILLER);
      await one.stop();
    }
    await watch('w1');
    expect(await redis.llen(keys.deaths)).toBe(0);
  });
});

function isStopped(watched: QuarantineWatch, ref: typeof KILLER): boolean {
  try {
    watched.check(ref);
    return false;
  } catch {
    return true;
  }
}
