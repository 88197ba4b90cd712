import { Redis } from 'ioredis';
import { afterAll, beforeAll } from 'vitest';
import { type RedisServer, startRedis } from '../../../../test/helpers/redis.js';
import { echo, ScriptedWorker } from './scripted-worker.js';

/** One Redis for the tests of a file; `server` and `client` are there once its first test begins. */
export interface FileRedis {
  readonly server: RedisServer;
  readonly client: Redis;
}

export function redisOfFile(): FileRedis {
  const file: { server?: RedisServer; client?: Redis } = {};
  beforeAll(async () => {
    file.server = await startRedis();
    file.client = new Redis({ path: file.server.socketPath });
  });
  afterAll(async () => {
    file.client?.disconnect();
    await file.server?.stop();
  });
  return file as FileRedis;
}

/** As `redisOfFile`, with a worker that echoes. */
export function workerOfFile(): FileRedis & { readonly worker: ScriptedWorker } {
  const file = redisOfFile() as FileRedis & { worker: ScriptedWorker };
  beforeAll(async () => {
    const redisPath = file.server.socketPath;
    file.worker = await new ScriptedWorker(echo, { redisPath, concurrency: 16 }).ready();
  });
  afterAll(() => file.worker.close());
  return file;
}
