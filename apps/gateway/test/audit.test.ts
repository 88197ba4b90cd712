import { keys } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../../../test/helpers/redis.js';
import { AuditLog } from '../src/audit/audit-log.js';

async function newLog(): Promise<{ redis: Redis; log: AuditLog; another: AuditLog }> {
  const server = await startRedis();
  onTestFinished(() => server.stop());
  const redis = new Redis({ path: server.socketPath });
  onTestFinished(() => redis.disconnect());
  return { redis, log: new AuditLog(redis), another: new AuditLog(redis) };
}

const change = (target: string) => ({
  action: 'quotas.replace',
  tenant: 'acme',
  target,
  before: 1,
  after: 2,
});

/** The stream's ids with its entries, as they are stored. */
async function rows(redis: Redis): Promise<Row[]> {
  const found = await redis.xrange(keys.audit, '-', '+');
  return found.map(([id, [, text = '', , hash = '']]) => [id, text, hash]);
}

type Row = [id: string, text: string, hash: string];
type Three = [Row, Row, Row];

/** Writes the stream anew: Redis itself changes no entry. */
async function rewrite(redis: Redis, entries: readonly (readonly [string, string, string])[]): Promise<void> {
  await redis.del(keys.audit);
  for (const [id, text, hash] of entries) await redis.xadd(keys.audit, id, 'e', text, 'h', hash);
}

describe('the audit log', () => {
  it('holds who did what, in order, without a gap, whichever gateway wrote it', async () => {
    const { log, another } = await newLog();
    const writes = Array.from({ length: 40 }, (_, i) =>
      (i % 2 === 0 ? log : another).record('t', change(`${i}`)),
    );
    await Promise.all(writes);
    const { items } = await log.page(undefined, 100);
    expect(items.map(({ seq }) => seq)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(new Set(items.map(({ target }) => target)).size).toBe(40);
    expect(items[0]).toMatchObject({ actor: { kind: 'platform', keyId: 't' }, before: 1, after: 2 });
    expect(await log.verify()).toMatchObject({ entries: 40, head: { seq: 40 } });
    expect((await log.verify()).broken).toBeUndefined();
  });

  it('is read a page at a time', async () => {
    const { log } = await newLog();
    for (const target of ['a', 'b', 'c']) await log.record('t', change(target));
    const first = await log.page(undefined, 2);
    const second = await log.page(first.cursor, 2);
    expect([first, second].map(({ items }) => items.map(({ target }) => target))).toEqual([
      ['a', 'b'],
      ['c'],
    ]);
    expect(second.cursor).toBeUndefined();
  });

  it.each([
    ['an entry is changed', 2, (all) => all.map(([i, t, h]) => [i, t.replace('"b"', '"x"'), h] as const)],
    ['an entry is removed', 2, (all) => all.filter((_, at) => at !== 1)],
    ['the first entry is removed', 1, (all) => all.slice(1)],
    [
      'two entries change places',
      1,
      ([[i1, t1, h1], [i2, t2, h2], ...rest]) => [[i1, t2, h2], [i2, t1, h1], ...rest],
    ],
    ['an entry is no entry', 3, ([a, b, [i, , h]]) => [a, b, [i, 'x', h]]],
    ['a hash is changed', 3, ([a, b, [i, t]]) => [a, b, [i, t, 'f'.repeat(64)]]],
  ] as [string, number, (all: Three) => (readonly [string, string, string])[]][])(
    'names the place where %s',
    async (_, seq, tamper) => {
      const { redis, log } = await newLog();
      for (const target of ['a', 'b', 'c']) await log.record('t', change(target));
      await rewrite(redis, tamper((await rows(redis)) as Three));
      expect((await log.verify()).broken).toMatchObject({ seq, reason: expect.stringMatching(/./) });
    },
  );

  it('names entries that were removed at its end', async () => {
    const { redis, log } = await newLog();
    for (const target of ['a', 'b', 'c']) await log.record('t', change(target));
    const [last] = (await rows(redis)).slice(-1);
    await redis.xdel(keys.audit, last?.[0] ?? '');
    expect((await log.verify()).broken).toMatchObject({ seq: 3, reason: '1 entries are missing at the end' });
  });

  it('goes on after somebody tampered with its end, and still names that place', async () => {
    const { redis, log } = await newLog();
    for (const target of ['a', 'b']) await log.record('t', change(target));
    const [a, b] = await rows(redis);
    if (a === undefined || b === undefined) throw new TypeError('two entries');
    await rewrite(redis, [a, [b[0], b[1], 'e'.repeat(64)]]);
    await log.record('t', change('c'));
    expect((await log.page(undefined, 9)).items.map(({ target }) => target)).toEqual(['a', 'b', 'c']);
    expect((await log.verify()).broken).toMatchObject({ seq: 2 });
  });
});

it('a chain that was written anew does not hold the entry that was noted before', async () => {
  const { redis, log } = await newLog();
  for (const target of ['a', 'b']) await log.record('t', change(target));
  const { head } = await log.verify();
  expect((await log.verify(head)).broken).toBeUndefined();
  await redis.del(keys.audit);
  const forger = new AuditLog(redis);
  await forger.record('t', change('x'));
  expect((await forger.verify(head)).broken).toMatchObject({
    seq: 2,
    reason: expect.stringContaining('missing'),
  });
  await forger.record('t', change('y'));
  expect((await forger.verify()).broken).toBeUndefined();
  expect((await forger.verify(head)).broken).toMatchObject({
    seq: 2,
    reason: expect.stringContaining('noted'),
  });
});

describe('a change that is put on record', () => {
  const write = { kind: 'tenant', id: 'acme', after: '{"name":"acme"}' } as const;

  it('is made in the step that puts it there', async () => {
    const { redis, log } = await newLog();
    await log.record('t', change('acme'), [write]);
    expect(await redis.hget(keys.tenants, 'acme')).toBe(write.after);
    expect(await redis.zscore(keys.tenantChanges, 't:acme')).toBe('1');
  });

  it('is not made, and not on record, where something else stands', async () => {
    const { redis, log } = await newLog();
    await log.record('t', change('acme'), [write]);
    await expect(log.record('t', change('acme'), [write])).rejects.toMatchObject({
      code: 'MAYFLY_ERR_GATEWAY_CONFLICT',
    });
    await expect(log.record('t', change('acme'), [{ ...write, before: 'other' }])).rejects.toMatchObject({
      code: 'MAYFLY_ERR_GATEWAY_CONFLICT',
    });
    expect((await rows(redis)).length).toBe(1);
    await log.record('t', change('acme'), [{ kind: 'tenant', id: 'acme', before: write.after }]);
    expect(await redis.hexists(keys.tenants, 'acme')).toBe(0);
  });
});
