import { Gate } from '@mayfly/queue';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  freePort,
  kvmWorks,
  type Mayfly,
  type Process,
  ready,
  start,
  startMayfly,
} from '../helpers/mayfly.js';

const JSON_TYPE = { 'content-type': 'application/json' };
const QUOTA = 3;
const spin = (timeoutMs: number) => ({ function: 'spin', entrypoint: 'Spin', returns: 'void', timeoutMs });

/** Places that were held by processes which are no more. */
describe.skipIf(!kvmWorks)('a quota after the death of who used it (needs /dev/kvm)', () => {
  let mayfly: Mayfly;
  let redis: Redis;
  let gate: Gate;
  let second: Process | undefined;
  let key: string;

  beforeAll(async () => {
    mayfly = await startMayfly();
    redis = new Redis({ path: mayfly.redis.socketPath });
    gate = new Gate(redis);
    expect((await mayfly.upload('spin')).ok).toBe(true);
    const answer = await mayfly.operator('/v1/tenants/default/quotas', {
      method: 'PUT',
      headers: JSON_TYPE,
      body: JSON.stringify({ maxInFlight: QUOTA }),
    });
    expect(answer.status).toBe(200);
    const made = await mayfly.operator('/v1/tenants/default/keys', {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ scopes: ['function:invoke'] }),
    });
    key = ((await made.json()) as { key: string }).key;
  }, 60_000);
  afterAll(async () => {
    await second?.end('SIGKILL');
    redis?.disconnect();
    await mayfly?.stop();
  });

  const inFlight = async () => (await gate.inUse('default')).inFlight;
  const fill = (url: string, timeoutMs: number) =>
    Array.from({ length: QUOTA }, () =>
      fetch(`${url}/invoke`, {
        method: 'POST',
        headers: { ...JSON_TYPE, authorization: `Bearer ${key}` },
        body: JSON.stringify(spin(timeoutMs)),
      }),
    );

  it('is full, and says so, while its calls run', async () => {
    for (const call of fill(mayfly.url, 20_000)) call.catch(() => undefined);
    await expect.poll(inFlight, { timeout: 10_000 }).toBe(QUOTA);
    const refused = await mayfly.invoke(spin(1_000));
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({
      limit: { name: 'maxInFlight', value: QUOTA, current: QUOTA },
    });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(refused.headers.get('ratelimit')).toMatch(/^"inv";r=\d+;t=\d+$/);
  });

  it('is whole again once their leases are over', async () => {
    await Promise.all([mayfly.gateway.end('SIGKILL'), ...mayfly.workers.map((one) => one.end('SIGKILL'))]);
    expect(await inFlight()).toBe(QUOTA);
    // The time that a lease takes, a minute here, is not waited for.
    for (const lease of await redis.zrange('mf:q:leases', '0', '-1'))
      await redis.zadd('mf:q:leases', 'XX', Date.now() - 1, lease);
    await mayfly.startWorker();
    const port = await freePort();
    second = start('apps/gateway/dist/server.js', {
      MAYFLY_REDIS_URL: mayfly.redis.urls.gateway,
      MAYFLY_DATA_DIR: mayfly.dataDir,
      MAYFLY_PORT: `${port}`,
      MAYFLY_TENANT_KEY: 'another-0123456789',
      MAYFLY_GATEWAY_METRICS_PORT: '0',
    });
    const url = `http://127.0.0.1:${port}`;
    await ready(url, [second]);
    await expect.poll(inFlight, { timeout: 10_000 }).toBe(0);
    const answers = await Promise.all(fill(url, 200));
    expect(answers.map(({ status }) => status)).toEqual(new Array(QUOTA).fill(504));
    expect(await gate.inUse('default')).toMatchObject({ queued: 0, queuedBytes: 0 });
  }, 60_000);
});
