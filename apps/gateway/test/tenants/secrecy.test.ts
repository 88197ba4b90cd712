import { randomBytes } from 'node:crypto';
import { SecretKeys } from '@mayfly/secrets';
import { Metrics, prometheusText, Sampling, type SpanData, type Telemetry } from '@mayfly/telemetry';
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { ECHO_MANIFEST, startGateway, TENANT_KEY } from '../support/test-gateway.js';

/** All of Redis, as text. */
async function dump(redis: Redis): Promise<string> {
  const found: unknown[] = [];
  for (const key of await redis.keys('*')) {
    const type: string = await redis.type(key);
    if (type === 'hash') found.push(await redis.hgetall(key));
    else if (type === 'stream') found.push(await redis.xrange(key, '-', '+'));
    else if (type === 'string') found.push(await redis.get(key));
    else if (type === 'zset') found.push(await redis.zrange(key, '0', '-1'));
    else if (type === 'set') found.push(await redis.smembers(key));
    else found.push(await redis.lrange(key, 0, -1));
  }
  return JSON.stringify(found);
}

it('no key and no secret is in a log, a span, a metric, an answer, the audit log or anything else in Redis', async () => {
  const spans: SpanData[] = [];
  const metrics = new Metrics('gateway');
  const sampling = new Sampling({ parentBased: true, ratio: 1 }, 1);
  const telemetry: Telemetry<'gateway'> = {
    ...{ metrics, resource: {}, tracing: { sampling, export: (span: SpanData) => spans.push(span) } },
    shutdown: () => Promise.resolve(),
  };
  const gateway = await startGateway({ telemetry, secretKeys: new SecretKeys([randomBytes(32)]) });
  await gateway.startWorker();
  await gateway.upload('fn', ECHO_MANIFEST);
  const secret = `hunter2-${randomBytes(8).toString('hex')}`;
  const json = (body: unknown) => ({
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  });
  const operator = await gateway.services.keyAdmin.create('test', '', { scopes: [] });
  const made = await gateway.newKey('default', { functionPattern: 'other-*' });
  const rotated = await gateway.services.keyAdmin.rotate('test', 'default', made.key.id, 60);
  const shown = [TENANT_KEY, operator.text, made.text, rotated.text, `${made.text.slice(0, -1)}x`];

  const answers: string[] = [];
  await gateway.fetch('/v1/secrets/db', { method: 'PUT', ...json({ value: secret }) });
  const call = { function: 'fn', entrypoint: 'Nothing', args: [] };
  for (const key of shown)
    for (const [method, path, init] of [
      ['POST', '/invoke', json(call)],
      ['POST', '/invoke', json({ ...call, nonsense: 1 })],
      ['GET', '/v1/functions/fn', {}],
      ['GET', '/v1/secrets/db', {}],
      ['GET', '/v1/tenants/default/keys', {}],
      ['GET', '/v1/operator-keys', {}],
      ['GET', '/v1/audit', {}],
      ['GET', '/v1/nowhere', {}],
      ['PUT', '/v1/tenants/default/quotas', json({ nope: 1 })],
    ] as const)
      answers.push(await (await gateway.as(key, path, { method, ...init })).text());
  // With a store that fails, what is logged and answered comes from other places.
  process.kill(gateway.redis.pid, 'SIGSTOP');
  await expect.poll(() => gateway.services.directory.isFresh, { timeout: 5_000 }).toBe(false);
  const late = shown.map(async (key) => (await gateway.as(key, '/v1/functions')).text());
  answers.push(...(await Promise.all(late)));
  process.kill(gateway.redis.pid, 'SIGCONT');

  const redis = new Redis({ path: gateway.redis.socketPath });
  onTestFinished(() => redis.disconnect());
  const places = {
    answers: answers.join('\n'),
    log: JSON.stringify(gateway.log),
    spans: JSON.stringify(spans, (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
    metrics: prometheusText(await metrics.collect(), {}),
    redis: await dump(redis),
  };
  expect(spans.length).toBeGreaterThan(10);
  for (const [place, text] of Object.entries(places)) {
    expect([place, text.length]).not.toEqual([place, 0]);
    for (const hidden of [TENANT_KEY, operator.text, made.text, rotated.text].map((key) => key.slice(-20)))
      expect([place, text.includes(hidden)]).toEqual([place, false]);
    expect([place, text.includes(secret)]).toEqual([place, false]);
  }
  const hashes = [operator, made, rotated].map(({ key }) => key.sha256);
  const { redis: _, ...seen } = places;
  for (const hash of hashes) expect(JSON.stringify(seen)).not.toContain(hash);
}, 60_000);
