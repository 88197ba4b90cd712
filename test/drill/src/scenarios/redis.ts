import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { startRedisProxy } from '../redis-proxy.js';
import type { Stage } from '../scenario.js';
import { play, type Scenario } from '../scenario.js';
import { makeSmallDisk } from '../small-disk.js';

const LOAD = { callers: 8 };
/** What `everysec` may lose, when Redis itself is killed. */
const MAY_LOSE_MS = 2_000;
const DISK_BYTES = 32 * 1024 * 1024;

/** Ends Redis by the signal in the midst of the load, and starts it again. @returns when it was ended */
async function endAndRestart({ fleet, count }: Stage, signal: NodeJS.Signals): Promise<number> {
  const atMs = Date.now();
  await fleet.redis.end(signal);
  await delay(1_500);
  await fleet.redis.restart();
  count(`Redis ended by ${signal}`);
  return atMs;
}

export const redisRestart: Scenario = {
  name: 'redis-restart',
  title: 'Redis is shut down and started again (everysec)',
  run: ({ seconds }) =>
    play({
      load: LOAD,
      async faults(stage) {
        await delay((seconds * 1000) / 3);
        await endAndRestart(stage, 'SIGTERM');
        await delay((seconds * 1000) / 3);
        return {};
      },
    }),
};

export const redisKillAlways: Scenario = {
  name: 'redis-kill-always',
  title: 'Redis is killed (appendfsync always): nothing that was acknowledged may be lost',
  run: ({ seconds }) =>
    play({
      fleet: { redis: { fsync: 'always' } },
      load: LOAD,
      async faults(stage) {
        for (let i = 0; i < 2; i += 1) {
          await delay((seconds * 1000) / 4);
          await endAndRestart(stage, 'SIGKILL');
        }
        await delay((seconds * 1000) / 4);
        return {};
      },
    }),
};

export const redisKillEverysec: Scenario = {
  name: 'redis-kill-everysec',
  title:
    'Redis is killed (appendfsync everysec): at most what was acknowledged in the last two seconds may be lost',
  run: ({ seconds }) =>
    play({
      load: LOAD,
      async faults(stage) {
        await delay((seconds * 1000) / 2);
        const killedAtMs = await endAndRestart(stage, 'SIGKILL');
        const mayLose = { sinceMs: killedAtMs - MAY_LOSE_MS, untilMs: Date.now() };
        await delay((seconds * 1000) / 3);
        return { mayLose };
      },
    }),
};

export const redisMemory: Scenario = {
  name: 'redis-memory',
  title: 'Redis is out of memory for a while',
  run: ({ seconds }) =>
    play({
      load: LOAD,
      async faults({ fleet, count }) {
        const admin = new Redis({ path: fleet.redis.socketPath });
        try {
          await delay((seconds * 1000) / 3);
          const usedBytes = Number(/^used_memory:(\d+)/m.exec(await admin.info('memory'))?.[1]);
          await admin.config('SET', 'maxmemory', String(Math.floor(usedBytes * 0.9)));
          count('times out of memory');
          await delay((seconds * 1000) / 3);
          await admin.config('SET', 'maxmemory', '0');
          await delay(2_000);
        } finally {
          admin.disconnect();
        }
        return {};
      },
    }),
};

export const redisDisk: Scenario = {
  name: 'redis-disk',
  title: 'the disk of Redis is full for a while',
  async run({ seconds }) {
    const disk = await makeSmallDisk(DISK_BYTES);
    if (typeof disk === 'string') return disk;
    try {
      return await play({
        fleet: { redis: { under: disk.under, dataDir: disk.folder } },
        load: { ...LOAD, callers: 4 },
        async faults({ count }) {
          await delay((seconds * 1000) / 3);
          disk.fill();
          count('times the disk was full');
          await delay((seconds * 1000) / 3);
          disk.free();
          await delay(3_000);
          return {};
        },
      });
    } finally {
      await disk.close();
    }
  },
};

export const redisHalfOpen: Scenario = {
  name: 'redis-half-open',
  title: 'the lines to Redis carry nothing for a while, and do not say so',
  async run({ seconds }) {
    let port = 0;
    const proxy = await startRedisProxy(() => port);
    try {
      return await play({
        fleet: {
          redis: { tcp: true },
          redisUrl: (url, redis) => {
            port = redis.port;
            const { username, password } = new URL(url);
            return `redis://${username}:${password}@127.0.0.1:${proxy.port}`;
          },
        },
        load: LOAD,
        async faults({ count }) {
          await delay((seconds * 1000) / 3);
          proxy.swallow();
          count('times the lines were half open');
          await delay(8_000);
          proxy.open();
          await delay(3_000);
          return {};
        },
      });
    } finally {
      await proxy.close();
    }
  },
};
