import { keys } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type RedisServer, startRedis } from '../../../test/helpers/redis.js';
import { startGateway } from './support/test-gateway.js';

const MIB = 1024 * 1024;
const CALL = { function: 'fn', entrypoint: 'E', args: [], returns: 'void' };
const ASYNC = { prefer: 'respond-async' };

async function withRedis(settings: Record<string, string>): Promise<{ server: RedisServer; admin: Redis }> {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  const admin = new Redis({ path: server.socketPath });
  admin.on('error', () => undefined);
  onTestFinished(() => admin.disconnect());
  for (const [name, value] of Object.entries(settings)) await admin.config('SET', name, value);
  return { server, admin };
}

/** Makes what Redis holds, as it reckons itself, this share of its maxmemory. */
async function fillTo(admin: Redis, share: number): Promise<void> {
  const usedBytes = Number(/^used_memory:(\d+)/m.exec(await admin.info('memory'))?.[1]);
  await admin.config('SET', 'maxmemory', String(Math.round(usedBytes / share)));
}

describe('how full Redis is', () => {
  it('sheds async calls at 70 %, and all at 85 %, by name, and takes them again', async () => {
    const { server, admin } = await withRedis({ maxmemory: String(512 * MIB) });
    // Enough that what tests and gateway use beside it does not matter.
    await admin.set('filler', Buffer.alloc(64 * MIB));
    const gateway = await startGateway({ redis: server });
    await gateway.startWorker();
    await gateway.upload('fn');
    const statuses = async () => [
      (await gateway.invoke(CALL)).status,
      (await gateway.invoke(CALL, ASYNC)).status,
      (await fetch(`${gateway.url}/readyz`)).status,
    ];
    expect(await statuses()).toEqual([200, 202, 200]);
    await fillTo(admin, 0.78);
    await expect.poll(statuses, { timeout: 5_000 }).toEqual([200, 503, 200]);
    const refused = await gateway.invoke(CALL, ASYNC);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    const problem = await refused.json();
    expect(problem).toMatchObject({ code: 'saturated', origin: 'platform', limit: { name: 'redisMemory' } });
    expect(problem.limit.current).toBeGreaterThanOrEqual(problem.limit.value);
    await fillTo(admin, 0.92);
    await expect.poll(statuses, { timeout: 5_000 }).toEqual([503, 503, 503]);
    const verbose = await (await fetch(`${gateway.url}/readyz?verbose`)).json();
    expect(verbose).toMatchObject({
      checks: expect.arrayContaining([expect.objectContaining({ name: 'redisMemory', ok: false })]),
    });
    await admin.config('SET', 'maxmemory', String(512 * MIB));
    await expect.poll(statuses, { timeout: 5_000 }).toEqual([200, 202, 200]);
    expect(await admin.exists(keys.workers)).toBe(1);
  });

  it('keeps a gateway from starting on a Redis that would drop keys to make room', async () => {
    const { server } = await withRedis({ 'maxmemory-policy': 'allkeys-lru' });
    await expect(startGateway({ redis: server })).rejects.toThrow('it has to be noeviction');
  });

  it('is said to have no limit, where it has none', async () => {
    const { server } = await withRedis({});
    const gateway = await startGateway({ redis: server });
    expect(gateway.log).toContainEqual(
      expect.objectContaining({ msg: expect.stringContaining('maxmemory of Redis is not set') }),
    );
  });
});
