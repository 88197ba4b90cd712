import { createHmac, randomBytes } from 'node:crypto';
import { keys } from '@mayfly/contracts';
import { SecretKeys } from '@mayfly/secrets';
import { localTelemetry, prometheusText } from '@mayfly/telemetry';
import { describe, expect, test } from 'vitest';
import type { GatewayDeps } from '../src/app.js';
import { waitAfter } from '../src/callbacks/schedule.js';
import { signedHeaders } from '../src/callbacks/signature.js';
import { newTenant } from '../src/tenants/stored.js';
import { type Received, Receiver } from './outbound/receiver.js';
import { echo, type ScriptedEnd } from './support/scripted-worker.js';
import {
  ECHO_MANIFEST,
  startGateway,
  type TestGateway,
  type TestGatewayOptions,
} from './support/test-gateway.js';

const HOST = 'hooks.example.com';
const secretKeys = new SecretKeys([randomBytes(32)]);

interface Setup {
  readonly receiver?: Receiver;
  readonly deps?: Partial<GatewayDeps>;
  readonly redis?: TestGatewayOptions['redis'];
  readonly allow?: string;
}

/** A gateway whose tenant may call back one name, which means this machine, and has an echo function. */
async function start({ receiver, deps = {}, redis, allow }: Setup = {}) {
  receiver ??= await Receiver.start();
  const gateway = await startGateway({
    secretKeys,
    ...(redis && { redis }),
    env: { MAYFLY_GATEWAY_OUTBOUND_ALLOW: allow ?? `127.0.0.1:${receiver.port}` },
    deps: {
      outbound: { resolve: async () => ['127.0.0.1'], timeoutMs: 2_000 },
      callbackRetryWaitsMs: [1, 1, 1],
      ...deps,
    },
  });
  await setHosts(gateway, [HOST]);
  if (redis === undefined) await gateway.upload('echo', ECHO_MANIFEST);
  return { gateway, receiver, url: `http://${HOST}:${receiver.port}/done?token=hunter2` };
}

/** As an operator sets them. */
async function setHosts({ services }: TestGateway, callbackHosts: readonly string[]): Promise<void> {
  const known = services.directory.tenant('default');
  const after = newTenant('default', { ...known?.tenant, callbackHosts });
  await services.audit.record(
    'test',
    { action: 'tenant.policy.replace', tenant: 'default', target: 'default' },
    [{ kind: 'tenant', id: 'default', before: known?.text, after: JSON.stringify(after) }],
  );
  await services.directory.refresh();
}

const rotate = async (gateway: TestGateway, body: unknown = {}) => {
  const answer = await gateway.fetch('/v1/webhook-secret', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect(answer.status).toBe(201);
  return ((await answer.json()) as unknown as { secret: string }).secret;
};

const call = (gateway: TestGateway, url: string, value = 'hi', extra: Record<string, string> = {}) =>
  gateway.invoke(
    { function: 'echo', entrypoint: 'echo-string', args: [value] },
    { prefer: 'respond-async', 'callback-url': url, ...extra },
  );

interface Shown {
  readonly state: string;
  readonly callback?: {
    readonly state: string;
    readonly attempts: number;
    readonly lastStatus?: number;
    readonly lastError?: string;
  };
}
const shown = async (gateway: TestGateway, id: string) =>
  (await (await gateway.fetch(`/v1/invocations/${id}`)).json()) as unknown as Shown;
const settled = (gateway: TestGateway, id: string) =>
  expect.poll(async () => (await shown(gateway, id)).callback?.state, { timeout: 10_000 });

/** As a receiver checks it, by the text of Standard Webhooks. */
function isSignedBy(secret: string, { headers, body }: Received): boolean {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  const expected = `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
  return String(headers['webhook-signature']).split(' ').includes(expected);
}

describe('completion callbacks', () => {
  test('tell the end of a call once, signed, to whom the request named', async () => {
    const { gateway, receiver, url } = await start();
    const secret = await rotate(gateway);
    await gateway.startWorker();
    const accepted = await call(gateway, url);
    expect(accepted.status).toBe(202);
    const { invocationId } = await accepted.json();
    const [received] = await receiver.received(1);
    if (received === undefined) expect.unreachable();
    expect(received).toMatchObject({ method: 'POST', url: '/done?token=hunter2' });
    expect(received.headers).toMatchObject({
      'content-type': 'application/json',
      'webhook-id': invocationId,
      host: `${HOST}:${receiver.port}`,
    });
    expect(Math.abs(Date.now() / 1000 - Number(received.headers['webhook-timestamp']))).toBeLessThan(60);
    expect(isSignedBy(secret, received)).toBe(true);
    expect(JSON.parse(received.body)).toMatchObject({
      type: 'invocation.succeeded',
      data: { invocationId, state: 'succeeded', function: 'echo', result: { type: 'string', value: 'hi' } },
    });
    await settled(gateway, invocationId).toBe('delivered');
    expect((await shown(gateway, invocationId)).callback).toMatchObject({ attempts: 1, lastStatus: 200 });
    expect(receiver.requests).toHaveLength(1);
    // The address may hold a token: nobody is shown it.
    const record = await (await gateway.fetch(`/v1/invocations/${invocationId}`)).text();
    expect(`${record}${JSON.stringify(gateway.log)}${received.body}`).not.toContain('hunter2');
  });

  test('tell failures, too', async () => {
    const { gateway, receiver, url } = await start();
    await rotate(gateway);
    await gateway.startWorker(() => ({ outcome: 'timeout', detail: { message: 'too long' } }));
    await call(gateway, url);
    const [received] = await receiver.received(1);
    expect(JSON.parse(received?.body ?? '')).toMatchObject({
      type: 'invocation.timed_out',
      data: { outcome: 'timeout', detail: { message: 'too long' } },
    });
  });

  test('of a batch tell the end of each of its calls', async () => {
    const { gateway, receiver, url } = await start();
    await rotate(gateway);
    await gateway.startWorker();
    const calls = ['a', 'b', 'c'].map((value) => ({ entrypoint: 'echo-string', args: [value] }));
    const answer = await gateway.fetch('/v1/functions/echo/invoke-batch', {
      method: 'POST',
      headers: { 'content-type': 'application/json', prefer: 'respond-async', 'callback-url': url },
      body: JSON.stringify(calls),
    });
    expect(answer.status).toBe(202);
    const told = (await receiver.received(3)).map(({ body }) => JSON.parse(body).data.result.value);
    expect(told.sort()).toEqual(['a', 'b', 'c']);
  });

  test('are tried again until they are taken, each time signed anew, and counted', async () => {
    const telemetry = localTelemetry('gateway');
    const { gateway, receiver, url } = await start({ deps: { telemetry } });
    await rotate(gateway);
    await gateway.startWorker();
    const statuses = [500, 302, 204];
    receiver.answer = (response) =>
      response.writeHead(statuses[receiver.requests.length - 1] ?? 204, { location: '/elsewhere' }).end();
    const { invocationId } = await (await call(gateway, url)).json();
    const requests = await receiver.received(3);
    await settled(gateway, invocationId).toBe('delivered');
    expect((await shown(gateway, invocationId)).callback).toMatchObject({ attempts: 3, lastStatus: 204 });
    const metrics = prometheusText(await telemetry.metrics.collect(), {});
    expect(metrics).toContain('mayfly_callback_attempts_total{mayfly_reason="status"} 2\n');
    expect(metrics).toContain('mayfly_callback_attempts_total{mayfly_reason="delivered"} 1\n');
    expect(new Set(requests.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(requests.map((request) => request.url)).toEqual(Array(3).fill('/done?token=hunter2'));
  });

  test.each([
    ['the schedule is over', 503, 4],
    ['the receiver says that it has gone', 410, 1],
  ])('are given up when %s', async (_, status, attempts) => {
    const { gateway, receiver, url } = await start();
    await rotate(gateway);
    await gateway.startWorker();
    receiver.answer = (response) => response.writeHead(status).end();
    const { invocationId } = await (await call(gateway, url)).json();
    await settled(gateway, invocationId).toBe('failed');
    expect((await shown(gateway, invocationId)).callback).toMatchObject({
      attempts,
      lastStatus: status,
      lastError: 'status',
    });
    expect(receiver.requests).toHaveLength(attempts);
  });

  test('go nowhere once the tenant may no longer call that host, or its name means another address', async () => {
    let address = '127.0.0.1';
    const { gateway, receiver, url } = await start({
      deps: { outbound: { resolve: async () => [address] }, callbackRetryWaitsMs: [1] },
    });
    await rotate(gateway);
    const [first, second] = [await call(gateway, url), await call(gateway, url)];
    address = '169.254.169.254';
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    await gateway.startWorker(async (item, job) => {
      if (JSON.stringify(item.input).includes('held')) await released;
      return echo(item, job) as ScriptedEnd;
    });
    const { invocationId } = await first.json();
    await settled(gateway, invocationId).toBe('failed');
    expect((await shown(gateway, invocationId)).callback).toMatchObject({
      lastError: 'address',
      attempts: 2,
    });
    await settled(gateway, (await second.json()).invocationId).toBe('failed');
    expect(receiver.connections).toBe(0);
    address = '127.0.0.1';
    const third = await call(gateway, url, 'held');
    await setHosts(gateway, ['other.example.com']);
    release();
    const { invocationId: held } = await third.json();
    await settled(gateway, held).toBe('failed');
    expect((await shown(gateway, held)).callback).toMatchObject({ lastError: 'host', attempts: 2 });
    expect((await call(gateway, url)).status).toBe(400);
    expect(receiver.connections).toBe(0);
  });

  test('survive the gateway that took the call: another one makes them', async () => {
    const receiver = await Receiver.start();
    const one = await start({ receiver });
    await rotate(one.gateway);
    const { invocationId } = await (await call(one.gateway, one.url)).json();
    await one.gateway.drain();
    const two = await start({ receiver, redis: one.gateway.redis });
    await two.gateway.startWorker();
    await receiver.received(1);
    await settled(two.gateway, invocationId).toBe('delivered');
    expect(receiver.requests).toHaveLength(1);
  });

  test('of two gateways are each made by one', async () => {
    const receiver = await Receiver.start();
    const one = await start({ receiver });
    await start({ receiver, redis: one.gateway.redis });
    await rotate(one.gateway);
    await one.gateway.startWorker();
    const ids = await Promise.all(
      Array.from(
        { length: 20 },
        async (_, n) => (await (await call(one.gateway, one.url, `n${n}`)).json()).invocationId,
      ),
    );
    for (const id of ids) await settled(one.gateway, id).toBe('delivered');
    const told = receiver.requests.map(({ headers }) => headers['webhook-id']);
    expect(told.sort()).toEqual(ids.sort());
  });

  test('to receivers that hang or flood keep nobody else waiting', async () => {
    const slow = await Receiver.start();
    slow.answer = (response) => void response.writeHead(200).write('x');
    const hung = await Receiver.start();
    hung.answer = () => undefined;
    const good = await Receiver.start();
    const { gateway } = await start({
      receiver: good,
      allow: [slow, hung, good].map(({ port }) => `127.0.0.1:${port}`).join(','),
    });
    await rotate(gateway);
    await gateway.startWorker();
    const at = (receiver: Receiver) => `http://${HOST}:${receiver.port}/`;
    const { invocationId } = await (await call(gateway, at(slow))).json();
    for (let n = 0; n < 6; n += 1) await call(gateway, at(hung));
    const told = await (await call(gateway, at(good))).json();
    await settled(gateway, told.invocationId).toBe('delivered');
    // The head of an answer is all that counts.
    await settled(gateway, invocationId).toBe('delivered');
    expect((await gateway.invoke({ function: 'echo', entrypoint: 'echo-string', args: ['x'] })).status).toBe(
      200,
    );
  });

  test('carry both signatures while a secret is changed, and the new one alone afterwards', async () => {
    const { gateway, receiver, url } = await start();
    await gateway.startWorker();
    const before = await rotate(gateway);
    const after = await rotate(gateway, { overlapMs: 60_000 });
    await call(gateway, url);
    const [both] = await receiver.received(1);
    if (both === undefined) expect.unreachable();
    expect([before, after].map((secret) => isSignedBy(secret, both))).toEqual([true, true]);
    const last = await rotate(gateway, { overlapMs: 0 });
    await call(gateway, url);
    const one = (await receiver.received(2))[1];
    if (one === undefined) expect.unreachable();
    expect([before, after, last].map((secret) => isSignedBy(secret, one))).toEqual([false, false, true]);
  });

  test.each<[string, (url: string) => string, Record<string, string>, RegExp]>([
    [
      'a host that the tenant may not call',
      () => 'https://evil.example/',
      {},
      /evil\.example is not among the hosts/,
    ],
    ['a port that none may', () => `https://${HOST}:22/`, {}, /port 22/],
    ['no URL', () => 'nowhere', {}, /not an absolute URL/],
    ['a password in it', () => `https://a:b@${HOST}/`, {}, /user or a password/],
    ['a caller that waits', (url) => url, { prefer: 'wait=5' }, /respond-async/],
  ])('are refused with the request: %s', async (_, urlOf, extra, detail) => {
    const { gateway, url } = await start();
    await rotate(gateway);
    const answer = await call(gateway, urlOf(url), 'hi', extra);
    expect(answer.status).toBe(400);
    expect((await answer.json()).errors).toMatchObject([
      { pointer: '#callback-url', detail: expect.stringMatching(detail) },
    ]);
    expect(await gateway.services.redis.exists('mf:s:cb')).toBe(0);
  });

  test('are refused while there is nothing to sign them with', async () => {
    const { gateway, url } = await start();
    const answer = await call(gateway, url);
    expect(answer.status).toBe(400);
    expect((await answer.json()).errors[0]?.detail).toContain('/v1/webhook-secret');
  });
});

describe('the secret of callbacks', () => {
  test('is shown once, sealed in Redis, and told of by version', async () => {
    const { gateway } = await start();
    expect((await gateway.fetch('/v1/webhook-secret')).status).toBe(404);
    const secret = await rotate(gateway);
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    const info = await (await gateway.fetch('/v1/webhook-secret')).text();
    expect(JSON.parse(info)).toEqual({ version: 1, createdAtMs: expect.any(Number) });
    const stored = JSON.stringify(await gateway.services.redis.hgetall(keys.webhookSecret('default')));
    expect(`${info}${stored}${JSON.stringify(gateway.log)}`).not.toContain(secret.slice(6, 30));
    await rotate(gateway);
    expect(await (await gateway.fetch('/v1/webhook-secret')).json()).toMatchObject({
      version: 2,
      previousUntilMs: expect.any(Number),
    });
  });
});

test('a message is signed as the example of Standard Webhooks is', () => {
  const secret = Buffer.from('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'base64');
  const message = {
    id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    timestampS: 1_614_265_330,
    body: '{"test": 2432232314}',
  };
  expect(signedHeaders(message, [secret])).toEqual({
    'webhook-id': message.id,
    'webhook-timestamp': '1614265330',
    'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  });
});

test('waits between attempts stay within the schedule, and reach what a receiver asks for', () => {
  for (let n = 0; n < 200; n += 1) {
    const waitMs = waitAfter(1, [1_000, 2_000], undefined) ?? -1;
    expect(waitMs).toBeGreaterThanOrEqual(0);
    expect(waitMs).toBeLessThan(1_000);
  }
  expect(waitAfter(2, [1_000, 2_000], '60')).toBe(2_000);
  expect(waitAfter(2, [1_000, 2_000], '1')).toBeGreaterThanOrEqual(1_000);
  expect(waitAfter(3, [1_000, 2_000], undefined)).toBeUndefined();
});
