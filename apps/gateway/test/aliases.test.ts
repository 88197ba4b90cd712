import { QUEUE_PREFIX } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RedisServer, startRedis } from '../../../test/helpers/redis.js';
import { tinyElf } from './support/elf.js';
import { ECHO_MANIFEST, startGateway, type TestGateway } from './support/test-gateway.js';

let redis: RedisServer;
let gateway: TestGateway;

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());
beforeEach(async () => {
  const client = new Redis({ path: redis.socketPath });
  await client.flushall();
  client.disconnect();
  gateway = await startGateway({ redis });
  for (const fill of [1, 2, 3]) await gateway.upload('fn', ECHO_MANIFEST, tinyElf(256, fill));
});

const put = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  gateway.fetch(`/v1/functions/fn/${path}`, {
    method: 'PUT',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', ...headers },
  });
const alias = (name: string, body: unknown, headers: Record<string, string> = {}) =>
  put(`aliases/${name}`, body, headers);
const bodyOf = async (response: { json(): Promise<unknown> }) =>
  (await response.json()) as Record<string, unknown>;
const call = (target: string, headers: Record<string, string> = {}) =>
  gateway.fetch(`/invoke/${target}?entrypoint=echo-string`, { method: 'POST', body: 'x', headers });
const audited = async () =>
  (await gateway.services.audit.page(undefined, 100)).items.map(
    ({ action, target }) => `${action} ${target}`,
  );

describe('PUT /v1/functions/{name}/aliases/{alias}', () => {
  it('creates an alias, shows it and lists it', async () => {
    const created = await alias('live', { weights: { 1: 90, 2: 10 }, sticky: 'header:User-Id' });
    expect([created.status, created.headers.get('location')]).toEqual([201, '/v1/functions/fn/aliases/live']);
    const shown = await gateway.fetch('/v1/functions/fn/aliases/live');
    const body = await bodyOf(shown);
    expect(body).toEqual({
      function: 'fn',
      alias: 'live',
      weights: { 1: 90, 2: 10 },
      sticky: 'header:user-id',
      newest: 2,
      etag: created.headers.get('etag'),
      updatedAtMs: expect.any(Number),
    });
    expect(shown.headers.get('etag')).toBe(body['etag']);
    expect(await bodyOf(await gateway.fetch('/v1/functions/fn/aliases'))).toEqual({ items: [body] });
    expect((await bodyOf(await gateway.fetch('/v1/functions/fn')))['aliases']).toEqual({
      live: { 1: 90, 2: 10 },
    });
  });

  it('replaces an alias only for who says which one', async () => {
    const etag = (await alias('live', { weights: { 1: 1 } })).headers.get('etag') ?? '';
    const next = { weights: { 2: 1 } };
    const unsaid = await alias('live', next);
    expect([unsaid.status, (await unsaid.json()).code]).toEqual([428, 'precondition-required']);
    const other = await alias('live', next, { 'if-match': '"999"' });
    expect([other.status, (await other.json()).code]).toEqual([412, 'precondition-failed']);
    expect((await alias('live', next, { 'if-none-match': '*' })).status).toBe(412);
    const replaced = await alias('live', next, { 'if-match': etag });
    expect([replaced.status, (await bodyOf(replaced))['weights']]).toEqual([200, { 2: 1 }]);
    expect((await alias('live', next, { 'if-match': etag })).status).toBe(412);
    expect((await alias('live', next, { 'if-match': '*' })).status).toBe(200);
    expect((await alias('new', next, { 'if-match': '*' })).status).toBe(412);
  });

  it('answers 304 to who knows the alias', async () => {
    const etag = (await alias('live', { weights: { 1: 1 } })).headers.get('etag') ?? '';
    const known = await gateway.fetch('/v1/functions/fn/aliases/live', {
      headers: { 'if-none-match': etag },
    });
    expect(known.status).toBe(304);
  });

  it.each([
    ['latest', { weights: { 1: 1 } }, '#alias'],
    ['live', { weights: { 1: 0 } }, '/weights'],
    ['live', { weights: {} }, '/weights'],
    ['live', { weights: { one: 1 } }, '/weights/one'],
    ['live', { weights: { 1: -1 } }, '/weights/1'],
    ['live', { weights: { 1: 1 }, sticky: 'cookie' }, '/sticky'],
    ['live', { weights: { 1: 1 }, sticky: 'header:Authorization' }, '/sticky'],
    ['live', { weights: { 1: 1 }, rollback: { errorRate: 0.1 } }, '/rollback/minRequests'],
    ['live', { weights: { 1: 1 }, more: 1 }, '/more'],
    ['1st', { weights: { 1: 1 } }, '#alias'],
  ])('refuses %s as %j', async (name, body, pointer) => {
    const response = await alias(name, body);
    const { code, errors } = await response.json();
    expect([response.status, code, errors[0]?.pointer]).toEqual([400, 'invalid-request', pointer]);
  });

  it('refuses a version and a function that are not there', async () => {
    expect((await alias('live', { weights: { 1: 1, 7: 1 } })).status).toBe(404);
    expect((await gateway.fetch('/v1/functions/fn/aliases/live')).status).toBe(404);
    const nowhere = await gateway.fetch('/v1/functions/nope/aliases/live', {
      method: 'PUT',
      body: '{"weights":{"1":1}}',
      headers: { 'content-type': 'application/json' },
    });
    expect(nowhere.status).toBe(404);
  });

  it('takes 100 aliases a function', async () => {
    for (let i = 0; i < 100; i += 1) expect((await alias(`a${i}`, { weights: { 1: 1 } })).status).toBe(201);
    const response = await alias('more', { weights: { 1: 1 } });
    const { code, limit } = await response.json();
    expect([response.status, code, limit.name]).toEqual([409, 'conflict', 'aliases']);
    expect((await alias('a7', { weights: { 2: 1 } }, { 'if-match': '*' })).status).toBe(200);
  });

  it('puts every change on the audit log', async () => {
    await alias('live', { weights: { 1: 1 } });
    await put('config', { timeoutMs: 100 });
    await gateway.fetch('/v1/functions/fn/aliases/live', { method: 'DELETE' });
    await gateway.fetch('/v1/functions/fn/versions/3', { method: 'DELETE' });
    await gateway.fetch('/v1/functions/fn', { method: 'DELETE' });
    const uploads = [1, 2, 3].map((version) => `version.create fn@${version}`);
    const done = await audited();
    expect(done.filter((entry) => !entry.startsWith('tenant.'))).toEqual([
      ...uploads,
      'alias.replace fn:live',
      'function-config.replace fn',
      'alias.delete fn:live',
      'version.delete fn@3',
      'function.delete fn',
    ]);
  });
});

describe('DELETE /v1/functions/{name}/aliases/{alias}', () => {
  it('deletes an alias, of a known revision where one is named', async () => {
    const remove = (headers: Record<string, string> = {}) =>
      gateway.fetch('/v1/functions/fn/aliases/live', { method: 'DELETE', headers });
    const etag = (await alias('live', { weights: { 1: 1 } })).headers.get('etag') ?? '';
    expect((await remove({ 'if-match': '"999"' })).status).toBe(412);
    expect((await remove({ 'if-match': etag })).status).toBe(204);
    expect((await remove()).status).toBe(404);
    expect((await call('fn:live')).status).toBe(404);
  });
});

describe('calls by alias', () => {
  beforeEach(async () => {
    await gateway.startWorker();
  });

  it('go to the version that the alias names, and say so', async () => {
    await alias('live', { weights: { 2: 1 } });
    const raw = await call('fn:live');
    expect([raw.status, raw.headers.get('function-version'), raw.headers.get('function-alias')]).toEqual([
      ...[200, '2', 'live'],
    ]);
    const envelope = { function: 'fn', qualifier: 'live', entrypoint: 'echo-int', args: [1] };
    expect(await (await gateway.invoke(envelope)).json()).toMatchObject({ version: 2, alias: 'live' });
    const id = raw.headers.get('invocation-id');
    expect(await bodyOf(await gateway.fetch(`/v1/invocations/${id}`))).toMatchObject({
      version: 2,
      alias: 'live',
    });
  });

  it('by a number or latest as qualifier go without an alias', async () => {
    const envelope = { function: 'fn', entrypoint: 'echo-int', args: [1] };
    expect((await (await gateway.invoke({ ...envelope, qualifier: '1' })).json()).version).toBe(1);
    expect((await (await gateway.invoke({ ...envelope, qualifier: 'latest' })).json()).version).toBe(3);
    expect((await call('fn:latest')).headers.get('function-version')).toBe('3');
    expect((await gateway.invoke({ ...envelope, qualifier: 'live' })).status).toBe(404);
    expect((await gateway.invoke({ ...envelope, qualifier: '1', version: 1 })).status).toBe(400);
    expect((await gateway.invoke({ ...envelope, qualifier: '1x' })).status).toBe(400);
  });

  it('are spread by weight', async () => {
    await alias('live', { weights: { 1: 3, 2: 1, 3: 0 } });
    const versions: string[] = [];
    for (let i = 0; i < 10; i += 1)
      versions.push(
        ...(await Promise.all(
          Array.from(
            { length: 20 },
            async () => (await call('fn:live')).headers.get('function-version') ?? '',
          ),
        )),
      );
    const first = versions.filter((version) => version === '1').length;
    // 200 draws of 3 to 1: beyond these with a probability of less than 10^-6.
    expect(first).toBeGreaterThan(115);
    expect(first).toBeLessThan(185);
    expect(versions).not.toContain('3');
  });

  it('with the same value of the sticky header get the same version', async () => {
    await alias('live', { weights: { 1: 1, 2: 1 }, sticky: 'header:User-Id' });
    const of = async (user: string) =>
      (await call('fn:live', { 'user-id': user })).headers.get('function-version');
    const users = Array.from({ length: 24 }, (_, i) => `user-${i}`);
    const first = await Promise.all(users.map(of));
    expect(new Set(first)).toEqual(new Set(['1', '2']));
    expect(await Promise.all(users.map(of))).toEqual(first);
    await alias('live', { weights: { 1: 1, 2: 3 }, sticky: 'header:User-Id' }, { 'if-match': '*' });
    const moved = await Promise.all(users.map(of));
    // What had the version that grew keeps it.
    expect(moved.filter((_, i) => first[i] === '2')).not.toContain('1');
  });

  it('reach another gateway after a change', async () => {
    const second = await startGateway({ redis });
    await alias('live', { weights: { 1: 1 } });
    const there = () => second.fetch('/invoke/fn:live?entrypoint=echo-string', { method: 'POST', body: 'x' });
    expect((await there()).headers.get('function-version')).toBe('1');
    await alias('live', { weights: { 2: 1 } }, { 'if-match': '*' });
    await expect.poll(async () => (await there()).headers.get('function-version')).toBe('2');
  });
});

describe('deleting what an alias uses', () => {
  const remove = (path: string) => gateway.fetch(path, { method: 'DELETE' });

  it('is refused, naming the aliases, unless it is forced', async () => {
    await alias('live', { weights: { 2: 1 } });
    await alias('beta', { weights: { 2: 1, 3: 1 } });
    for (const path of ['/v1/functions/fn/versions/2', '/v1/functions/fn']) {
      const response = await remove(path);
      expect([response.status, await bodyOf(response)]).toMatchObject([
        409,
        { code: 'alias-in-use', aliases: ['beta', 'live'] },
      ]);
    }
    expect((await remove('/v1/functions/fn/versions/1')).status).toBe(204);
    expect((await remove('/v1/functions/fn/versions/2?force=true')).status).toBe(204);
    await gateway.startWorker();
    expect((await call('fn:beta')).headers.get('function-version')).toBe('3');
    expect((await call('fn:live')).status).toBe(404);
    expect((await remove('/v1/functions/fn?force=yes')).status).toBe(400);
    expect((await remove('/v1/functions/fn?force=true')).status).toBe(204);
  });

  it('is allowed where the weight is 0', async () => {
    await alias('live', { weights: { 2: 1, 3: 0 } });
    expect((await remove('/v1/functions/fn/versions/3')).status).toBe(204);
  });

  it('takes aliases and configuration with the function', async () => {
    await alias('live', { weights: { 1: 1 } });
    await put('config', { timeoutMs: 100 });
    await remove('/v1/functions/fn?force=true');
    await gateway.upload('fn', ECHO_MANIFEST);
    expect((await gateway.fetch('/v1/functions/fn/aliases/live')).status).toBe(404);
    expect((await bodyOf(await gateway.fetch('/v1/functions/fn/config')))['timeoutMs']).toBeUndefined();
  });
});

describe('/v1/functions/{name}/config', () => {
  const get = (headers: Record<string, string> = {}) => gateway.fetch('/v1/functions/fn/config', { headers });

  it('shows the defaults of a function that has none', async () => {
    const response = await get();
    expect([response.status, response.headers.get('etag')]).toEqual([200, '"0"']);
    expect(await bodyOf(response)).toMatchObject({
      function: 'fn',
      concurrency: { reserved: 0 },
      storeResult: 'always',
      onDisconnect: 'cancel',
      retry: { attempts: 3, retryOn: [] },
      env: {},
      secrets: [],
    });
  });

  it('replaces all of it, and shows what is in force', async () => {
    const settings = {
      timeoutMs: 1_000,
      concurrency: { max: 4 },
      storeResult: 'on-failure',
      retry: { attempts: 5, retryOn: ['timeout'] },
      env: { COLOR: 'blue' },
      secrets: ['db'],
    };
    const written = await put('config', settings);
    const expected = {
      ...settings,
      concurrency: { max: 4, reserved: 0 },
      retry: { attempts: 5, retryOn: ['timeout'], minBackoffMs: 500, maxBackoffMs: 60_000 },
    };
    expect([written.status, await bodyOf(written)]).toMatchObject([200, expected]);
    const shown = await get();
    expect(await bodyOf(shown)).toMatchObject(expected);
    expect(shown.headers.get('etag')).toBe(written.headers.get('etag'));
    expect((await get({ 'if-none-match': written.headers.get('etag') ?? '' })).status).toBe(304);
    await put('config', {}, { 'if-match': '*' });
    expect(await bodyOf(await get())).toMatchObject({ storeResult: 'always', env: {} });
  });

  it('wants to know what it replaces, once there is something', async () => {
    expect((await put('config', {}, { 'if-match': '"0"' })).status).toBe(200);
    expect((await put('config', {})).status).toBe(428);
    expect((await put('config', {}, { 'if-match': '"0"' })).status).toBe(412);
    const etag = (await get()).headers.get('etag') ?? '';
    expect((await put('config', {}, { 'if-match': etag })).status).toBe(200);
    expect((await put('config', {}, { 'if-match': etag, 'if-none-match': '*' })).status).toBe(400);
  });

  it.each([
    [{ timeoutMs: 0 }, '/timeoutMs'],
    [{ timeoutMs: 30_001 }, '/timeoutMs'],
    [{ memoryBytes: 1 }, '/memoryBytes'],
    [{ concurrency: { max: 2, reserved: 3 } }, '/concurrency/reserved'],
    [{ concurrency: { max: 1_025 } }, '/concurrency/max'],
    [{ retry: { minBackoffMs: 100, maxBackoffMs: 50 } }, '/retry/minBackoffMs'],
    [{ retry: { retryOn: ['succeeded'] } }, '/retry/retryOn/0'],
    [{ storeResult: 'sometimes' }, '/storeResult'],
    [{ env: { '1X': 'a' } }, '/env/1X'],
    [{ env: { X: 'a\0' } }, '/env'],
    [{ env: Object.fromEntries(['A', 'B', 'C', 'D', 'E'].map((name) => [name, 'x'.repeat(4_000)])) }, '/env'],
    [{ secrets: ['a', 'a'] }, '/secrets'],
    [{ other: 1 }, '/other'],
  ])('refuses %j', async (settings, pointer) => {
    const response = await put('config', settings);
    const { code, errors } = await response.json();
    expect([response.status, code, errors[0]?.pointer]).toEqual([400, 'invalid-request', pointer]);
  });

  it('is a ceiling for the time of a call, and its time where the manifest names more', async () => {
    const timeouts: number[] = [];
    const worker = await gateway.startWorker();
    const echo = worker.script;
    worker.script = (item, job) => {
      timeouts.push(item.timeoutMs);
      return echo(item, job);
    };
    await put('config', { timeoutMs: 200 });
    expect((await call('fn')).status).toBe(200);
    expect(
      (await gateway.invoke({ function: 'fn', entrypoint: 'echo-int', args: [1], timeoutMs: 50 })).status,
    ).toBe(200);
    expect(timeouts).toEqual([200, 50]);
    const more = await gateway.invoke({ function: 'fn', entrypoint: 'echo-int', args: [1], timeoutMs: 201 });
    expect([more.status, (await more.json()).errors[0]?.pointer]).toEqual([400, '/timeoutMs']);
  });

  it('tells the gate how many calls may run at once, until the function goes', async () => {
    const client = new Redis({ path: redis.socketPath });
    const capOf = async () => client.hmget(`${QUEUE_PREFIX}:gate:default`, 'c:fn', 'kept');
    await put('config', { concurrency: { max: 4, reserved: 2 } });
    expect(await capOf()).toEqual(['4', '{"fn":2}']);
    await gateway.fetch('/v1/functions/fn', { method: 'DELETE' });
    expect(await capOf()).toEqual([null, null]);
    client.disconnect();
  });

  it('is a ceiling for the memory of a version', async () => {
    await gateway.startWorker();
    expect((await call('fn')).status).toBe(200);
    await put('config', { memoryBytes: 1024 * 1024 });
    const response = await call('fn');
    expect([response.status, (await response.json()).limit]).toEqual([
      413,
      { name: 'memoryBytes', value: 1024 * 1024 },
    ]);
  });
});
