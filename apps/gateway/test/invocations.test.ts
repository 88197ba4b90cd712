import { setTimeout as delay } from 'node:timers/promises';
import { type AcceptedRecord, type InvocationItem, type InvocationJob, keys } from '@mayfly/contracts';
import { describe, expect, it, onTestFinished } from 'vitest';
import { workerOfFile } from './support/file-redis.js';
import { echo, recordOf } from './support/scripted-worker.js';
import { ECHO_MANIFEST, startGateway, type TestGateway } from './support/test-gateway.js';

const file = workerOfFile();

async function gatewayWithEcho(): Promise<TestGateway> {
  file.worker.script = echo;
  await file.client.flushall();
  await file.worker.beat();
  const gateway = await startGateway({ redis: file.server });
  expect((await gateway.upload('echo', ECHO_MANIFEST)).ok).toBe(true);
  return gateway;
}

const CALL = { function: 'echo', entrypoint: 'echo-int', args: [3] };
const ASYNC = { prefer: 'respond-async' };

/** Calls wait until it is opened; `taken`: the first one is there. */
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
    take(item);
    await opened;
    return echo(item, job) as ReturnType<typeof echo> & object;
  };
  onTestFinished(() => open());
  return { open, taken };
}

async function accept(gateway: TestGateway, call: unknown = CALL): Promise<string> {
  const response = await gateway.invoke(call, ASYNC);
  expect(response.status).toBe(202);
  return (await response.json()).invocationId;
}

const ended = (gateway: TestGateway, id: string) =>
  gateway.fetch(`/v1/invocations/${id}`, { headers: { prefer: 'wait=20' } });

describe('Prefer: respond-async, wait=N', () => {
  it('answers with the result when the call ends in time', async () => {
    const gateway = await gatewayWithEcho();
    const response = await gateway.invoke(CALL, { prefer: 'respond-async, wait=20' });
    expect(response.status).toBe(200);
    expect(response.headers.get('preference-applied')).toBe('respond-async, wait=20');
    const { result, invocationId } = await response.json();
    expect(result).toEqual({ type: 'int', value: 3 });
    expect(response.headers.get('location')).toBe(`/v1/invocations/${invocationId}`);
  });

  it('answers a raw call with its bytes, and an end that is none as its problem', async () => {
    const gateway = await gatewayWithEcho();
    const headers = { prefer: 'respond-async, wait=20' };
    const raw = await gateway.fetch('/invoke/echo', { method: 'POST', body: 'abc', headers });
    expect([raw.status, await raw.text()]).toEqual([200, 'abc']);
    file.worker.script = () => ({ outcome: 'aborted', detail: { message: 'no' } });
    const failed = await gateway.invoke(CALL, headers);
    expect([failed.status, (await failed.json()).code]).toEqual([502, 'aborted']);
  });

  it('answers 202 when the time is over, and the call goes on', async () => {
    const gateway = await gatewayWithEcho();
    const { open } = gate();
    const response = await gateway.invoke(CALL, { prefer: 'respond-async, wait=1' });
    expect(response.status).toBe(202);
    expect(response.headers.get('preference-applied')).toBe('respond-async, wait=1');
    const { invocationId } = await response.json();
    open();
    expect(await (await ended(gateway, invocationId)).json()).toMatchObject({ state: 'succeeded' });
  });

  it('refuses a preference that it cannot keep to when it is to be strict, before anything is queued', async () => {
    const gateway = await gatewayWithEcho();
    const response = await gateway.invoke(CALL, { prefer: 'respond-async, return=minimal, handling=strict' });
    expect(response.status).toBe(400);
    expect((await response.json()).errors[0]?.pointer).toBe('#prefer');
    expect(await file.client.zcard(keys.index('default'))).toBe(0);
  });
});

describe('GET /v1/invocations/{id} with Prefer: wait=N', () => {
  it.each(['', '/result', '/logs'])('answers %j once the call has ended', async (path) => {
    const gateway = await gatewayWithEcho();
    const { open, taken } = gate();
    const id = await accept(gateway);
    const waiting = gateway.fetch(`/v1/invocations/${id}${path}`, { headers: { prefer: 'wait=20' } });
    await taken;
    await expect.poll(() => gateway.services.ends.size).toBe(1);
    open();
    const response = await waiting;
    expect(response.status).toBe(200);
    expect(response.headers.get('preference-applied')).toBe('wait=20');
    expect(gateway.services.ends.size).toBe(0);
  });

  it('hears of the end of a call that another gateway took', async () => {
    const gateway = await gatewayWithEcho();
    const other = await startGateway({ redis: file.server });
    const { open, taken } = gate();
    const id = await accept(gateway);
    await taken;
    const waiting = ended(other, id);
    await expect.poll(() => other.services.ends.size).toBe(1);
    open();
    expect(await (await waiting).json()).toMatchObject({ state: 'succeeded', invocationId: id });
  });

  it('sees an end that nobody told of', async () => {
    const gateway = await gatewayWithEcho();
    const { taken } = gate();
    const id = await accept(gateway);
    await taken;
    const waiting = ended(gateway, id);
    await expect.poll(() => gateway.services.ends.size).toBe(1);
    const { alias: _, ...accepted }: AcceptedRecord = JSON.parse(
      (await file.client.get(keys.accepted('default', id))) ?? '',
    );
    const record = recordOf(
      { ...accepted, input: { kind: 'args', args: [] }, timeoutMs: 1 },
      { function: { tenant: 'default', name: 'echo', version: 1 } } as InvocationJob,
      { outcome: 'aborted' },
    );
    await file.client.set(keys.record('default', id), JSON.stringify(record));
    expect(await (await waiting).json()).toMatchObject({ state: 'failed' });
  });

  it('answers as it is when the time is over', async () => {
    const gateway = await gatewayWithEcho();
    const { taken } = gate();
    const id = await accept(gateway);
    await taken;
    const headers = { prefer: 'wait=1' };
    const shown = await gateway.fetch(`/v1/invocations/${id}`, { headers });
    expect([shown.status, (await shown.json()).state]).toEqual([200, 'running']);
    const result = await gateway.fetch(`/v1/invocations/${id}/result`, { headers });
    expect([result.status, result.headers.get('retry-after')]).toEqual([202, '1']);
    expect(result.headers.get('preference-applied')).toBe('wait=1');
  });

  it('ends a wait whose client has gone, and all of them when the gateway drains', async () => {
    const gateway = await gatewayWithEcho();
    const { taken } = gate();
    const id = await accept(gateway);
    await taken;
    const controller = new AbortController();
    const gone = gateway.fetch(`/v1/invocations/${id}`, {
      headers: { prefer: 'wait=50' },
      signal: controller.signal,
    });
    gone.catch(() => undefined);
    await expect.poll(() => gateway.services.ends.size).toBe(1);
    controller.abort();
    await expect.poll(() => gateway.services.ends.size).toBe(0);
    const waiting = gateway.fetch(`/v1/invocations/${id}`, { headers: { prefer: 'wait=50' } });
    await expect.poll(() => gateway.services.ends.size).toBe(1);
    const drained = gateway.drain();
    expect(await (await waiting).json()).toMatchObject({ state: 'running' });
    await drained;
  });
});

describe('entity tags', () => {
  it.each(['', '/result', '/logs'])('answers %j with 304 to who has it', async (path) => {
    const gateway = await gatewayWithEcho();
    const id = await accept(gateway);
    await ended(gateway, id);
    const url = `/v1/invocations/${id}${path}`;
    const tag = (await gateway.fetch(url)).headers.get('etag') ?? '';
    expect(tag).toMatch(/^"[\w-]{22}"$/);
    for (const known of [tag, `"x", W/${tag}`, '*']) {
      const again = await gateway.fetch(url, { headers: { 'if-none-match': known } });
      expect([again.status, again.headers.get('etag'), await again.text()]).toEqual([304, tag, '']);
    }
    const other = await gateway.fetch(url, { headers: { 'if-none-match': '"x"' } });
    expect(other.status).toBe(200);
  });

  it('changes with the state', async () => {
    const gateway = await gatewayWithEcho();
    const { open, taken } = gate();
    const id = await accept(gateway);
    await taken;
    const tag = (await gateway.fetch(`/v1/invocations/${id}`)).headers.get('etag') ?? '';
    open();
    await ended(gateway, id);
    const again = await gateway.fetch(`/v1/invocations/${id}`, { headers: { 'if-none-match': tag } });
    expect(again.status).toBe(200);
  });
});

describe('GET /v1/invocations/{id}/logs', () => {
  it('answers with the log as text, and as a JSON line each', async () => {
    const gateway = await gatewayWithEcho();
    file.worker.script = (item, job) => ({ ...(echo(item, job) as object), logTail: 'one\n"two"\n' });
    const id = await accept(gateway);
    await ended(gateway, id);
    const text = await gateway.fetch(`/v1/invocations/${id}/logs`);
    expect(await text.text()).toBe('one\n"two"\n');
    expect(text.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(text.headers.get('x-content-type-options')).toBe('nosniff');
    const lines = await gateway.fetch(`/v1/invocations/${id}/logs`, {
      headers: { accept: 'application/x-ndjson' },
    });
    expect(lines.headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8');
    expect(await lines.text()).toBe('{"message":"one"}\n{"message":"\\"two\\""}\n');
  });
});

describe('results', () => {
  it('are answered 410 once they are older than the function keeps them, and their record stays', async () => {
    const gateway = await gatewayWithEcho();
    const id = await accept(gateway);
    await ended(gateway, id);
    await file.client.hset(
      keys.function('default', 'echo'),
      'settings',
      JSON.stringify({ resultRetentionMs: 1 }),
    );
    gateway.services.cache.clear();
    await delay(2);
    const result = await gateway.fetch(`/v1/invocations/${id}/result`);
    expect([result.status, (await result.json()).code]).toEqual([410, 'result-expired']);
    expect((await (await gateway.fetch(`/v1/invocations/${id}`)).json()).state).toBe('succeeded');
  });
});

describe('a function that keeps no results', () => {
  it('tells its workers so, and answers 410 for what they dropped', async () => {
    const gateway = await gatewayWithEcho();
    await file.client.hset(
      keys.function('default', 'echo'),
      'settings',
      JSON.stringify({ storeResult: 'never' }),
    );
    gateway.services.cache.clear();
    let told: unknown;
    file.worker.script = (item) => {
      told = item.storeResult;
      return { resultDropped: true };
    };
    const id = await accept(gateway);
    expect(await (await ended(gateway, id)).json()).toMatchObject({ state: 'succeeded' });
    const result = await gateway.fetch(`/v1/invocations/${id}/result`);
    expect([told, result.status, (await result.json()).code]).toEqual(['never', 410, 'result-expired']);
  });
});

describe('DELETE /v1/invocations/{id}', () => {
  it('forgets an invocation that has ended', async () => {
    const gateway = await gatewayWithEcho();
    const id = await accept(gateway);
    await ended(gateway, id);
    const url = `/v1/invocations/${id}`;
    expect((await gateway.fetch(url, { method: 'DELETE' })).status).toBe(204);
    for (const path of ['', '/result', '/logs'])
      expect((await gateway.fetch(`${url}${path}`)).status).toBe(404);
    expect((await gateway.fetch(url, { method: 'DELETE' })).status).toBe(404);
    expect((await (await gateway.fetch('/v1/invocations')).json()).items).toEqual([]);
    expect(await file.client.keys(`*${id}*`)).toEqual([]);
    const { items } = await gateway.services.audit.page(undefined, 100);
    expect(items.at(-1)).toMatchObject({ action: 'invocation.purge', target: `invocations/${id}` });
  });

  it('refuses one that has not', async () => {
    const gateway = await gatewayWithEcho();
    const { taken } = gate();
    const id = await accept(gateway);
    await taken;
    const response = await gateway.fetch(`/v1/invocations/${id}`, { method: 'DELETE' });
    expect([response.status, (await response.json()).code]).toEqual([409, 'not-ended']);
    expect((await gateway.fetch(`/v1/invocations/${id}`)).status).toBe(200);
  });
});

describe('GET /v1/invocations', () => {
  async function list(gateway: TestGateway, query = ''): Promise<{ ids: string[]; nextCursor?: string }> {
    const response = await gateway.fetch(`/v1/invocations${query}`);
    expect(response.status).toBe(200);
    const { items, nextCursor } = await response.json();
    const link =
      nextCursor &&
      `</v1/invocations?${new URLSearchParams({ ...Object.fromEntries(new URLSearchParams(query)), cursor: nextCursor })}>; rel="next"`;
    expect(response.headers.get('link')).toBe(link ?? null);
    return { ids: items.map((item) => item.invocationId), ...(nextCursor !== undefined && { nextCursor }) };
  }

  async function acceptMany(gateway: TestGateway, count: number): Promise<string[]> {
    const ids: string[] = [];
    for (let index = 0; index < count; index += 1) ids.unshift(await accept(gateway));
    return ids;
  }

  it('lists newest first, and a cursor stays right while others come in', async () => {
    const gateway = await gatewayWithEcho();
    const ids = await acceptMany(gateway, 5);
    const first = await list(gateway, '?limit=2');
    expect(first.ids).toEqual(ids.slice(0, 2));
    await acceptMany(gateway, 3);
    const second = await list(gateway, `?limit=2&cursor=${first.nextCursor}`);
    expect(second.ids).toEqual(ids.slice(2, 4));
    const third = await list(gateway, `?limit=2&cursor=${second.nextCursor}`);
    expect(third).toEqual({ ids: ids.slice(4) });
  });

  it('lists calls that were waited for, too', async () => {
    const gateway = await gatewayWithEcho();
    const accepted = await accept(gateway);
    const { invocationId } = await (await gateway.invoke(CALL)).json();
    await expect.poll(() => list(gateway)).toEqual({ ids: [invocationId, accepted] });
  });

  it('stays right where an invocation that a cursor names is forgotten', async () => {
    const gateway = await gatewayWithEcho();
    const ids = await acceptMany(gateway, 4);
    const first = await list(gateway, '?limit=2');
    const gone = ids[1] as string;
    await ended(gateway, gone);
    await gateway.fetch(`/v1/invocations/${gone}`, { method: 'DELETE' });
    expect((await list(gateway, `?cursor=${first.nextCursor}`)).ids).toEqual(ids.slice(2));
  });

  it('pages through invocations of one and the same moment', async () => {
    const gateway = await gatewayWithEcho();
    const [id = ''] = await acceptMany(gateway, 1);
    await ended(gateway, id);
    const text = (await file.client.get(keys.accepted('default', id))) ?? '';
    const acceptedAtMs = Date.now() - 10_000;
    const others = Array.from({ length: 250 }, (_, index) => `inv_${index.toString(16).padStart(32, '0')}`);
    for (const other of others) {
      const record = { ...JSON.parse(text), invocationId: other, acceptedAtMs, answered: true };
      await file.client.set(keys.accepted('default', other), JSON.stringify(record));
      await file.client.zadd(keys.index('default'), acceptedAtMs, other);
    }
    const seen: string[] = [];
    for (let cursor = ''; ; ) {
      const page = await list(gateway, `?limit=20${cursor && `&cursor=${cursor}`}`);
      seen.push(...page.ids);
      if (page.nextCursor === undefined) break;
      cursor = page.nextCursor;
    }
    expect(seen).toEqual([id, ...others.toReversed()]);
  });

  it('filters by function, state, time and trace', async () => {
    const gateway = await gatewayWithEcho();
    expect((await gateway.upload('other', ECHO_MANIFEST)).ok).toBe(true);
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const traced = await gateway.invoke(
      { ...CALL, function: 'other' },
      { ...ASYNC, traceparent: `00-${trace}-00f067aa0ba902b7-01` },
    );
    const { invocationId, ...seen } = await traced.json();
    await ended(gateway, invocationId);
    file.worker.script = () => ({ outcome: 'timeout', detail: { message: 'late' } });
    const [late = '', ...rest] = await acceptMany(gateway, 2);
    for (const id of [late, ...rest]) await ended(gateway, id);
    expect((await list(gateway, '?function=other')).ids).toEqual([invocationId]);
    expect((await list(gateway, '?state=timed_out')).ids).toEqual([late, ...rest]);
    expect((await list(gateway, '?state=running')).ids).toEqual([]);
    expect((await list(gateway, `?traceId=${trace}`)).ids).toEqual([invocationId]);
    expect(seen.traceId).toBe(trace);
    const { acceptedAtMs } = JSON.parse((await file.client.get(keys.accepted('default', late))) ?? '');
    expect((await list(gateway, `?since=${Math.floor(acceptedAtMs)}`)).ids).toContain(late);
    const until = new Date(acceptedAtMs).toISOString();
    expect((await list(gateway, `?until=${until}`)).ids).not.toContain(late);
    expect((await list(gateway, '?since=2100-01-01T00:00:00Z')).ids).toEqual([]);
  });

  it('reads a bounded number of records, and says where to go on', async () => {
    const gateway = await gatewayWithEcho();
    const now = Date.now();
    const old = Array.from({ length: 2_100 }, (_, index) => [
      now - index,
      `inv_${(1e6 - index).toString(16).padStart(32, '0')}`,
    ]);
    await file.client.zadd(keys.index('default'), ...old.flat());
    const first = await list(gateway);
    expect(first.ids).toEqual([]);
    const second = await list(gateway, `?cursor=${first.nextCursor}`);
    const third = await list(gateway, `?cursor=${second.nextCursor}`);
    expect(third).toEqual({ ids: [] });
  });

  it.each([
    ['limit=201', '#limit'],
    ['limit=0', '#limit'],
    ['cursor=abc', '#cursor'],
    [`cursor=${Buffer.from('1 inv_1 x').toString('base64url')}`, '#cursor'],
    ['state=odd', '#state'],
    ['since=yesterday', '#since'],
    ['until=2026-13-45T99:00:00Z', '#until'],
    ['traceId=xyz', '#traceId'],
    ['function=../x', '#function'],
    ['odd=1', '#odd'],
  ])('refuses %s', async (query, pointer) => {
    const gateway = await gatewayWithEcho();
    const response = await gateway.fetch(`/v1/invocations?${query}`);
    expect(response.status).toBe(400);
    expect((await response.json()).errors[0]?.pointer).toBe(pointer);
  });
});
