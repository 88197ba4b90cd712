import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { keys, parseRedisUrl } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kvmWorks, type Mayfly, root, startMayfly } from '../helpers/mayfly.js';

interface AliasView {
  readonly weights: Record<string, number>;
  readonly rolledBack?: { readonly version: number; readonly requests: number; readonly errors: number };
}

describe.skipIf(!kvmWorks)('versions of a function (needs /dev/kvm)', () => {
  let mayfly: Mayfly;
  let hello: Record<string, unknown>;

  beforeAll(async () => {
    mayfly = await startMayfly({ workers: 2 });
    hello = JSON.parse(await readFile(path.join(root, 'guests/build/hello.json'), 'utf8'));
  }, 60_000);
  afterAll(() => mayfly?.stop());

  const put = (target: string, body: unknown) =>
    mayfly.request(target, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const warm = (name: string, version: number) =>
    mayfly.request(`/v1/functions/${name}/versions/${version}/warm`, { method: 'POST' });
  const conditions = async (name: string) => {
    const { conditions: items } = (await (
      await mayfly.request(`/v1/functions/${name}/conditions`)
    ).json()) as {
      conditions: { type: string; status: string; reason: string; message: string }[];
    };
    return items.find(({ type }) => type === 'Routable');
  };

  it('are called once a worker has their snapshot, so that the first call boots nothing', async () => {
    expect((await mayfly.upload('hello')).status).toBe(201);
    const answer = await mayfly.invoke({ function: 'hello', args: ['you'] });
    expect(answer.status).toBe(200);
    expect(await conditions('hello')).toMatchObject({ status: 'True', reason: 'SnapshotReady' });
    const warmed = await warm('hello', 1);
    const { hosts } = (await warmed.json()) as { hosts: { state: string }[] };
    expect([warmed.status, hosts.map(({ state }) => state)]).toEqual([200, ['ready', 'ready']]);
    const next = (await (await mayfly.invoke({ function: 'hello', args: ['you'] })).json()) as {
      usage: { source: string };
    };
    expect(next.usage.source).not.toBe('boot');
  });

  it('that cannot be initialised leave the latest where it is, and say why', async () => {
    const init = JSON.parse(await readFile(path.join(root, 'guests/build/init-abort.json'), 'utf8'));
    await mayfly.upload('init-abort', { name: 'starts', manifest: init });
    await expect.poll(() => conditions('starts')).toMatchObject({ reason: 'InitialisationFailed' });
    const warmed = await warm('starts', 1);
    expect([warmed.status, ((await warmed.json()) as { code: string }).code]).toEqual([
      424,
      'snapshot-failed',
    ]);
    await mayfly.upload('hello', { name: 'starts' });
    await expect.poll(() => conditions('starts')).toMatchObject({ status: 'True' });
    await mayfly.upload('init-abort', { name: 'starts', manifest: { ...init, timeoutMs: 77 } });
    await expect.poll(() => conditions('starts')).toMatchObject({ reason: 'InitialisationFailed' });
    const answer = await mayfly.invoke({ function: 'starts', args: ['you'] });
    expect([answer.status, answer.headers.get('function-version')]).toEqual([200, '2']);
  });

  it('that fail too often lose their share of an alias by themselves', async () => {
    await mayfly.upload('hello', { name: 'shared' });
    // The same manifest over a binary that does not have its entrypoint: every call ends as a guest error.
    await mayfly.upload('spin', { name: 'shared', manifest: hello });
    await warm('shared', 1);
    await warm('shared', 2);
    const rollback = { errorRate: 0.2, minRequests: 10, windowS: 60 };
    const created = await put('/v1/functions/shared/aliases/live', { weights: { 1: 1, 2: 1 }, rollback });
    expect(created.status).toBe(201);
    const call = () => mayfly.invoke({ function: 'shared', qualifier: 'live', args: ['you'] });
    const alias = async () =>
      (await (await mayfly.request('/v1/functions/shared/aliases/live')).json()) as AliasView;
    const seen: number[] = [];
    for (;;) {
      for (const answer of await Promise.all(Array.from({ length: 8 }, call))) seen.push(answer.status);
      if ((await alias()).rolledBack !== undefined) break;
    }
    const { weights, rolledBack } = await alias();
    expect(weights).toEqual({ 1: 1, 2: 0 });
    expect(rolledBack?.version).toBe(2);
    expect(rolledBack?.requests).toBeGreaterThanOrEqual(10);
    expect(rolledBack?.errors).toBe(rolledBack?.requests);
    expect(new Set(seen)).toEqual(new Set([200, 502]));
    for (const answer of await Promise.all(Array.from({ length: 20 }, call)))
      expect([answer.status, answer.headers.get('function-version')]).toEqual([200, '1']);
  }, 60_000);
});

describe.skipIf(!kvmWorks)('a version that its hosts die of (needs /dev/kvm)', () => {
  it('is run by no worker after the second death, and one that ran beside it goes on', async () => {
    const mayfly = await startMayfly({ env: { MAYFLY_WORKER_ID: 'w0' } });
    const redis = new Redis({ ...parseRedisUrl(mayfly.redis.urls.worker), maxRetriesPerRequest: null });
    try {
      for (const name of ['spin', 'beside']) await mayfly.upload('spin', { name });
      const spin = { entrypoint: 'Spin', args: [], timeoutMs: 20_000 };
      const routable = async (name: string) => {
        const answer = await mayfly.request(`/v1/functions/${name}/conditions`);
        const { conditions } = (await answer.json()) as { conditions: { type: string; reason: string }[] };
        return conditions.find(({ type }) => type === 'Routable')?.reason;
      };
      const lost: Promise<Response>[] = [];
      for (const [i, names] of [['spin', 'beside'], ['spin']].entries()) {
        const flights = async () => (await redis.hkeys(keys.flights(`w${i}`))).sort();
        for (const name of names) await expect.poll(() => routable(name)).toBe('SnapshotReady');
        // Their initialisation was a flight, too.
        await expect.poll(flights, { timeout: 10_000 }).toEqual([]);
        for (const name of names) lost.push(mayfly.invoke({ ...spin, function: name }));
        const expected = names.map((name) => `default ${name} 1`).sort();
        await expect.poll(flights, { timeout: 20_000 }).toEqual(expected);
        await mayfly.workers.at(-1)?.end('SIGKILL');
        await mayfly.startWorker({ MAYFLY_WORKER_ID: `w${i + 1}` });
      }
      await expect.poll(() => routable('spin'), { timeout: 60_000, interval: 250 }).toBe('Quarantined');
      const refused = await mayfly.invoke({ ...spin, function: 'spin' });
      const { code } = (await refused.json()) as { code: string };
      expect([refused.status, code]).toEqual([409, 'quarantined']);
      expect((await mayfly.invoke({ ...spin, function: 'beside', timeoutMs: 50 })).status).toBe(504);
      for (const answer of await Promise.all(lost)) expect(answer.status).toBe(503);
    } finally {
      redis.disconnect();
      await mayfly.stop();
    }
  }, 180_000);
});
