import { ALIAS_BUCKET_S, keys } from '@mayfly/contracts';
import { beforeEach, describe, expect, it } from 'vitest';
import { tinyElf } from './support/elf.js';
import { redisOfFile } from './support/file-redis.js';
import { ECHO_MANIFEST, startGateway, type TestGateway } from './support/test-gateway.js';

const file = redisOfFile();
let gateway: TestGateway;

beforeEach(async () => {
  await file.client.flushall();
  gateway = await startGateway({ redis: file.server });
  await gateway.startWorker();
  for (const fill of [1, 2, 3]) await gateway.upload('fn', ECHO_MANIFEST, tinyElf(256, fill));
});

interface AliasView {
  readonly etag: string;
  readonly weights: Record<string, number>;
  readonly newest: number;
  readonly rolledBack?: { readonly version: number; readonly requests: number; readonly errors: number };
}

const PATH = '/v1/functions/fn/aliases/live';
const put = async (weights: Record<string, number>, rollback?: object) => {
  const response = await gateway.fetch(PATH, {
    method: 'PUT',
    body: JSON.stringify({ weights, ...(rollback && { rollback }) }),
    headers: {
      'content-type': 'application/json',
      ...((await gateway.fetch(PATH)).ok ? { 'if-match': '*' } : {}),
    },
  });
  return (await response.json()) as unknown as AliasView;
};
const show = async () => (await (await gateway.fetch(PATH)).json()) as unknown as AliasView;
const call = (at = gateway) =>
  at.fetch('/invoke/fn:live?entrypoint=echo-string', { method: 'POST', body: 'x' });
/** Counts as workers do. */
const count = (revision: number, version: number, n: number, e: number, secondsAgo = 0) => {
  const bucket = Math.floor((Date.now() / 1000 - secondsAgo) / ALIAS_BUCKET_S);
  return file.client.hset(keys.aliasCounts('default', 'fn', { name: 'live', revision }, bucket), {
    [`${version}:n`]: n,
    [`${version}:e`]: e,
  });
};
const revisionOf = ({ etag }: AliasView) => Number(etag.slice(1, -1));
const RULE = { errorRate: 0.1, minRequests: 20, windowS: 30 };

describe('the roll-back of an alias', () => {
  it('takes the weight of the version that was added last, and is on record', async () => {
    const alias = await put({ 1: 90, 3: 10 }, RULE);
    await call();
    await count(revisionOf(alias), 3, 20, 3);
    await expect.poll(async () => (await show()).weights).toEqual({ 1: 90, 3: 0 });
    const { rolledBack, etag } = await show();
    expect(rolledBack).toEqual({ atMs: expect.any(Number), version: 3, requests: 20, errors: 3 });
    expect(etag).not.toBe(alias.etag);
    const { items } = await gateway.services.audit.page(undefined, 100);
    expect(items.at(-1)).toMatchObject({
      actor: { kind: 'platform', keyId: 'rollback' },
      ...{ action: 'alias.rollback', target: 'fn:live', before: { 1: 90, 3: 10 } },
    });
    expect((await put({ 1: 90, 3: 10 }, RULE)).rolledBack).toBeUndefined();
  });

  it('is done once by two gateways', async () => {
    const second = await startGateway({ redis: file.server });
    const alias = await put({ 1: 90, 3: 10 }, RULE);
    await call();
    await call(second);
    await count(revisionOf(alias), 3, 20, 20);
    await expect.poll(async () => (await show()).weights).toEqual({ 1: 90, 3: 0 });
    await Promise.all([gateway, second].map(({ services }) => services.cache.get('default', 'fn')));
    const { items } = await gateway.services.audit.page(undefined, 100);
    expect(items.filter(({ action }) => action === 'alias.rollback')).toHaveLength(1);
    expect(revisionOf(await show())).toBe(revisionOf(alias) + 1);
  });

  it.each([
    ['too few calls', 0, 3, 19, 19, 0],
    ['as many errors as are allowed', 0, 3, 20, 2, 0],
    ['errors before the window', 0, 3, 20, 20, 60],
    ['errors of an older version', 0, 1, 20, 20, 0],
    ['errors of another revision', -1, 3, 20, 20, 0],
  ])('is not done for %s', async (_what, revision, version, n, e, secondsAgo) => {
    const alias = await put({ 1: 90, 3: 10 }, RULE);
    await call();
    await count(revisionOf(alias) + revision, version, n, e, secondsAgo);
    await gateway.services.rollbacks.look();
    expect((await show()).weights).toEqual({ 1: 90, 3: 10 });
  });

  it('is not done where no other version takes the calls, or none is asked for', async () => {
    for (const [weights, rule] of [
      [{ 3: 10 }, RULE],
      [{ 1: 90, 3: 10 }, undefined],
    ] as const) {
      const alias = await put(weights, rule);
      await call();
      await count(revisionOf(alias), 3, 20, 20);
      await gateway.services.rollbacks.look();
      expect((await show()).weights).toEqual(weights);
    }
  });

  it('means the version that was added last, whatever its number', async () => {
    await put({ 3: 100 });
    expect((await put({ 3: 90, 2: 10 }, RULE)).newest).toBe(2);
    expect((await put({ 3: 50, 2: 50 }, RULE)).newest).toBe(2);
    expect((await put({ 3: 50, 2: 25, 1: 25 }, RULE)).newest).toBe(1);
    expect((await put({ 3: 100, 1: 0 }, RULE)).newest).toBe(3);
  });
});
