import type { InvocationItem } from '@mayfly/contracts';
import { keys } from '@mayfly/contracts';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Claim } from '../src/idempotency/claims.js';
import { tinyElf } from './support/elf.js';
import { workerOfFile } from './support/file-redis.js';
import { echo } from './support/scripted-worker.js';
import { ECHO_MANIFEST, startGateway, type TestGateway } from './support/test-gateway.js';

const file = workerOfFile();
/** Invocations that a worker ran. */
let ran: string[] = [];

async function gatewayWithEcho(): Promise<TestGateway> {
  ran = [];
  file.worker.script = (item, job) => {
    ran.push(item.invocationId);
    return echo(item, job);
  };
  await file.client.flushall();
  await file.worker.beat();
  const gateway = await startGateway({ redis: file.server });
  expect((await gateway.upload('echo', ECHO_MANIFEST)).ok).toBe(true);
  return gateway;
}

/** Calls wait until it is opened. */
function gate() {
  let open: () => void = () => undefined;
  let take: (item: InvocationItem) => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const taken = new Promise<InvocationItem>((resolve) => {
    take = resolve;
  });
  file.worker.script = async (item, job) => {
    ran.push(item.invocationId);
    take(item);
    await opened;
    return echo(item, job) as object;
  };
  onTestFinished(() => open());
  return { open, taken };
}

const CALL = { function: 'echo', entrypoint: 'echo-int', args: [3] };
const KEY = { 'idempotency-key': 'order-17' };

async function claims(): Promise<[key: string, claim: Claim][]> {
  const found = await file.client.keys(keys.idempotency('default', '*'));
  return Promise.all(found.map(async (key) => [key, JSON.parse((await file.client.get(key)) ?? '')]));
}

describe('Idempotency-Key', () => {
  it('answers a request that comes again with what the first one was answered, and runs nothing', async () => {
    const gateway = await gatewayWithEcho();
    const first = await gateway.invoke(CALL, KEY);
    const again = await gateway.invoke(CALL, { 'idempotency-key': '"order-17"' });
    expect([again.status, await again.text()]).toEqual([200, await first.text()]);
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(ran).toHaveLength(1);
  });

  it('answers the same on another gateway', async () => {
    const gateway = await gatewayWithEcho();
    const other = await startGateway({ redis: file.server });
    const first = await gateway.invoke(CALL, KEY);
    const again = await other.invoke(CALL, KEY);
    expect(await again.text()).toBe(await first.text());
    expect(ran).toHaveLength(1);
  });

  it('answers a raw call with its bytes again', async () => {
    const gateway = await gatewayWithEcho();
    const call = () =>
      gateway.fetch('/invoke/echo?entrypoint=Svg', { method: 'POST', body: '<svg/>', headers: KEY });
    await call();
    const again = await call();
    expect([again.status, await again.text()]).toEqual([200, '<svg/>']);
    expect(again.headers.get('content-type')).toBe('image/svg+xml; charset=utf-8');
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(ran).toHaveLength(1);
  });

  it('answers what was accepted with the same invocation, and with its result when asked to wait', async () => {
    const gateway = await gatewayWithEcho();
    const { open, taken } = gate();
    const headers = { ...KEY, prefer: 'respond-async' };
    const first = await gateway.invoke(CALL, headers);
    await taken;
    const again = await gateway.invoke(CALL, headers);
    expect([again.status, again.headers.get('location')]).toEqual([202, first.headers.get('location')]);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    open();
    const waited = await gateway.invoke(CALL, { ...KEY, prefer: 'respond-async, wait=20' });
    expect([waited.status, (await waited.json()).result]).toEqual([200, { type: 'int', value: 3 }]);
    const later = await gateway.invoke(CALL, headers);
    expect([later.status, (await later.json()).state]).toEqual([202, 'succeeded']);
    expect(ran).toHaveLength(1);
  });

  it('refuses one that comes while the first runs, with its place, or joins it when asked to wait', async () => {
    const gateway = await gatewayWithEcho();
    const { open, taken } = gate();
    const first = gateway.invoke(CALL, KEY);
    const { invocationId } = await taken;
    const refused = await gateway.invoke(CALL, KEY);
    expect([refused.status, (await refused.json()).code]).toEqual([409, 'idempotent-request-running']);
    expect(refused.headers.get('location')).toBe(`/v1/invocations/${invocationId}`);
    const joined = gateway.invoke(CALL, { ...KEY, prefer: 'wait=20' });
    await expect.poll(() => gateway.services.ends.size).toBe(1);
    open();
    const [one, two] = await Promise.all([first, joined]);
    expect([two.status, await two.text()]).toEqual([200, await one.text()]);
    expect(two.headers.get('preference-applied')).toBe('wait=20');
    expect(ran).toEqual([invocationId]);
  });

  it('lets one of many through that come at once', async () => {
    const gateway = await gatewayWithEcho();
    const other = await startGateway({ redis: file.server });
    const headers = { ...KEY, prefer: 'wait=20' };
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => (index % 2 ? gateway : other).invoke(CALL, headers)),
    );
    const texts = new Set(await Promise.all(answers.map((answer) => answer.text())));
    expect([texts.size, ran.length]).toEqual([1, 1]);
  });

  it.each([
    ['body', { ...CALL, args: [4] }, {}],
    ['timeout', { ...CALL, timeoutMs: 7 }, {}],
  ])('refuses another %s under the same key', async (_what, call, headers) => {
    const gateway = await gatewayWithEcho();
    await gateway.invoke(CALL, KEY);
    const response = await gateway.invoke(call, { ...KEY, ...headers });
    expect([response.status, (await response.json()).code]).toEqual([422, 'idempotency-key-reused']);
    expect(ran).toHaveLength(1);
  });

  it('is another one for another function, version, route or tenant key', async () => {
    const gateway = await gatewayWithEcho();
    expect((await gateway.upload('other', ECHO_MANIFEST)).ok).toBe(true);
    await gateway.invoke(CALL, KEY);
    await gateway.invoke({ ...CALL, function: 'other' }, KEY);
    await gateway.invoke({ ...CALL, version: 1 }, KEY);
    await gateway.fetch('/invoke/echo', { method: 'POST', body: 'x', headers: KEY });
    await gateway.invoke(CALL, { 'idempotency-key': 'order-18' });
    expect(ran).toHaveLength(5);
  });

  it('keeps what the guest did, also its faults', async () => {
    const gateway = await gatewayWithEcho();
    file.worker.script = () => ({ outcome: 'aborted', detail: { message: 'no' } });
    const first = await gateway.invoke(CALL, KEY);
    file.worker.script = echo;
    const again = await gateway.invoke(CALL, KEY);
    expect([again.status, await again.text()]).toEqual([502, await first.text()]);
  });

  it.each(['host-fault', 'canceled'] as const)('runs anew what ended as %s', async (outcome) => {
    const gateway = await gatewayWithEcho();
    file.worker.script = () => ({ outcome, detail: { message: 'gone' } });
    const first = await gateway.invoke(CALL, KEY);
    file.worker.script = echo;
    const again = await gateway.invoke(CALL, KEY);
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([200, null]);
    expect(again.headers.get('invocation-id')).not.toBe(first.headers.get('invocation-id'));
    const third = await gateway.invoke(CALL, KEY);
    expect(await third.text()).toBe(await again.text());
  });

  it('is free again after a refusal', async () => {
    const gateway = await gatewayWithEcho();
    const busy = await startGateway({ redis: file.server, env: { MAYFLY_GATEWAY_MAX_IN_FLIGHT: '1' } });
    const { open, taken } = gate();
    const running = busy.invoke(CALL);
    await taken;
    expect((await busy.invoke(CALL, KEY)).status).toBe(503);
    expect(await claims()).toEqual([]);
    open();
    await running;
    expect((await gateway.invoke(CALL, KEY)).status).toBe(200);
  });

  it('is taken over once its gateway must have died before the call was queued', async () => {
    const gateway = await gatewayWithEcho();
    await gateway.invoke(CALL, KEY);
    const [[key, claim] = ['', undefined]] = await claims();
    const dead = { ...claim, id: `inv_${'0'.repeat(32)}`, untilMs: Date.now() + 60_000 };
    await file.client.set(key, JSON.stringify(dead), 'PX', 60_000);
    expect((await gateway.invoke(CALL, KEY)).status).toBe(409);
    await file.client.set(key, JSON.stringify({ ...dead, untilMs: Date.now() - 1 }), 'PX', 60_000);
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => gateway.invoke(CALL, { ...KEY, prefer: 'wait=20' })),
    );
    expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200, 200, 200]);
    expect(ran).toHaveLength(2);
  });

  it('is taken over from a call that was accepted and never came into the queue', async () => {
    const gateway = await gatewayWithEcho();
    const headers = { ...KEY, prefer: 'respond-async, wait=20' };
    const first = await gateway.invoke(CALL, headers);
    const id = first.headers.get('invocation-id') ?? '';
    const lost = `inv_${'1'.repeat(32)}`;
    const [[key, claim] = ['', undefined]] = await claims();
    const accepted = JSON.parse((await file.client.get(keys.accepted('default', id))) ?? '');
    await file.client.set(
      keys.accepted('default', lost),
      JSON.stringify({ ...accepted, invocationId: lost }),
    );
    await file.client.set(key, JSON.stringify({ ...claim, id: lost }), 'PX', 60_000);
    const again = await gateway.invoke(CALL, headers);
    expect([again.status, again.headers.get('idempotency-replayed')]).toEqual([200, null]);
    const shown = await (await gateway.fetch(`/v1/invocations/${lost}`)).json();
    expect(shown.state).toBe('failed');
    expect(ran).toHaveLength(2);
  });

  it('is forgotten within a day, and costs Redis one key', async () => {
    const gateway = await gatewayWithEcho();
    await gateway.invoke(CALL, KEY);
    const [[key] = ['']] = await claims();
    const lifeMs = await file.client.pttl(key);
    expect(lifeMs).toBeGreaterThan(86_000_000);
    expect(lifeMs).toBeLessThanOrEqual(86_400_000);
    expect(await claims()).toHaveLength(1);
  });

  it.each(['', '""', 'x'.repeat(256), 'tab\there'])('refuses %j as a key', async (key) => {
    const gateway = await gatewayWithEcho();
    const response = await gateway.invoke(CALL, { 'idempotency-key': key });
    expect(response.status).toBe(400);
    expect((await response.json()).errors[0]?.pointer).toBe('#idempotency-key');
    expect(await claims()).toEqual([]);
  });

  it('is required where the settings of the function say so', async () => {
    const gateway = await gatewayWithEcho();
    const settings = JSON.stringify({ requireIdempotencyKey: true });
    await file.client.hset(keys.function('default', 'echo'), 'settings', settings);
    gateway.services.cache.clear();
    const response = await gateway.invoke(CALL);
    expect([response.status, (await response.json()).errors[0]?.pointer]).toEqual([400, '#idempotency-key']);
    expect((await gateway.invoke(CALL, KEY)).status).toBe(200);
  });
});

describe('Idempotency-Key of an upload', () => {
  const upload = (gateway: TestGateway, timeoutMs: number, key = 'release-3') => {
    const form = new FormData();
    form.append('manifest', JSON.stringify({ ...ECHO_MANIFEST, timeoutMs }));
    form.append('binary', new Blob([new Uint8Array(tinyElf())]), 'guest.elf');
    return gateway.fetch('/v1/functions/echo/versions', {
      method: 'POST',
      body: form,
      headers: { 'idempotency-key': key },
    });
  };

  it('answers an upload that comes again with the version that it made, as it was answered', async () => {
    const gateway = await gatewayWithEcho();
    const first = await upload(gateway, 77);
    const again = await upload(gateway, 77);
    expect([again.status, again.headers.get('location')]).toEqual([201, first.headers.get('location')]);
    expect(await again.text()).toBe(await first.text());
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect((await upload(gateway, 77, 'release-4')).status).toBe(200);
  });

  it('refuses another upload, and is free again after one that failed', async () => {
    const gateway = await gatewayWithEcho();
    expect((await upload(gateway, 0)).status).toBe(400);
    expect(await claims()).toEqual([]);
    await upload(gateway, 78);
    expect((await upload(gateway, 79)).status).toBe(422);
  });

  it('refuses one that comes while the first is under way, unless that one must have died', async () => {
    const gateway = await gatewayWithEcho();
    await upload(gateway, 80);
    const [[key, { answer: _, ...claim }] = ['', {} as Claim]] = await claims();
    await file.client.set(key, JSON.stringify({ ...claim, untilMs: Date.now() + 60_000 }), 'PX', 60_000);
    const refused = await upload(gateway, 80);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([409, '1']);
    await file.client.set(key, JSON.stringify({ ...claim, untilMs: Date.now() - 1 }), 'PX', 60_000);
    expect((await upload(gateway, 80)).status).toBe(200);
    expect((await claims())[0]?.[1].answer?.status).toBe(200);
  });
});
