import { randomBytes } from 'node:crypto';
import { keys, LIMITS } from '@mayfly/contracts';
import { SecretKeys } from '@mayfly/secrets';
import { describe, expect, test } from 'vitest';
import { startGateway, type TestGateway } from './support/test-gateway.js';

const secretKeys = new SecretKeys([randomBytes(32)]);

const put = (gateway: TestGateway, name: string, body: unknown) =>
  gateway.fetch(`/v1/secrets/${name}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
const remove = (gateway: TestGateway, path: string) =>
  gateway.fetch(`/v1/secrets/${path}`, { method: 'DELETE' });
const stored = async ({ services }: TestGateway, name: string, version: number) => {
  const sealed = await services.redis.hget(keys.secret('default', name), `v${version}`);
  return sealed === null ? undefined : secretKeys.open({ tenant: 'default', name, version }, sealed);
};

describe('secrets', () => {
  test('are written, versioned, listed by name, and sealed in Redis', async () => {
    const gateway = await startGateway({ secretKeys });
    const first = await put(gateway, 'db-password', { value: 'hunter2 ☃' });
    expect(first.status).toBe(201);
    expect(await first.json()).toMatchObject({ name: 'db-password', version: 1 });
    const bytes = randomBytes(100);
    const second = await put(gateway, 'db-password', { base64: bytes.toString('base64') });
    expect(second.status).toBe(200);
    await put(gateway, '_token', { value: '' });

    const list = await (await gateway.fetch('/v1/secrets')).text();
    expect(JSON.parse(list)).toEqual({
      items: [
        { name: '_token', versions: [{ version: 1, createdAtMs: expect.any(Number) }] },
        {
          name: 'db-password',
          versions: [1, 2].map((version) => ({ version, createdAtMs: expect.any(Number) })),
        },
      ],
    });
    expect(list).not.toContain('hunter2');
    expect(await stored(gateway, 'db-password', 1)).toEqual(Buffer.from('hunter2 ☃'));
    expect(await stored(gateway, 'db-password', 2)).toEqual(bytes);
    expect(await stored(gateway, '_token', 1)).toEqual(Buffer.alloc(0));
    expect(JSON.stringify(gateway.log)).not.toContain('hunter2');
    const { items } = await gateway.services.audit.page(undefined, 100);
    expect(items.filter(({ action }) => action === 'secret.put')).toHaveLength(3);
    expect(JSON.stringify(items)).not.toContain('hunter2');
  });

  test('keep the newest versions only, and a number is never given twice', async () => {
    const gateway = await startGateway({ secretKeys });
    for (let n = 1; n <= LIMITS.secretVersions + 2; n += 1) await put(gateway, 'a', { value: `v${n}` });
    const found = await (await gateway.fetch('/v1/secrets/a')).json();
    expect(found.versions).toHaveLength(LIMITS.secretVersions);
    expect(await stored(gateway, 'a', 2)).toBeUndefined();
    expect(await stored(gateway, 'a', 3)).toEqual(Buffer.from('v3'));
    expect((await remove(gateway, 'a')).status).toBe(204);
    expect(await stored(gateway, 'a', 3)).toBeUndefined();
    expect((await gateway.fetch('/v1/secrets/a')).status).toBe(404);
    expect(await (await put(gateway, 'a', { value: 'again' })).json()).toMatchObject({
      version: LIMITS.secretVersions + 3,
    });
  });

  test('a version can be deleted alone; what does not exist is 404', async () => {
    const gateway = await startGateway({ secretKeys });
    await put(gateway, 'a', { value: 'one' });
    await put(gateway, 'a', { value: 'two' });
    expect((await remove(gateway, 'a/versions/2')).status).toBe(204);
    expect((await remove(gateway, 'a/versions/2')).status).toBe(404);
    expect(await gateway.services.secretGrants.of('default', ['a'])).toEqual({ a: 1 });
    expect((await remove(gateway, 'a/versions/1')).status).toBe(204);
    for (const path of ['a', 'b', 'a/versions/1']) expect((await remove(gateway, path)).status).toBe(404);
    expect(await gateway.services.secretGrants.of('default', ['a'])).toEqual({});
  });

  test.each([
    ['neither', {}, 400],
    ['both', { value: 'hunter2', base64: 'aGk=' }, 400],
    ['no base64', { base64: 'hunter2!' }, 400],
    ['no text', { value: 'hunter2\ud800' }, 400],
    ['a number', { value: 22_222_222 }, 400],
    ['another field', { value: 'hunter2', note: 'x' }, 400],
    ['too long', { value: 'ü'.repeat(LIMITS.secretBytes - 1) }, 413],
  ])(
    'a body with %s is refused, and what was sent is neither answered nor logged',
    async (_, body, status) => {
      const gateway = await startGateway({ secretKeys });
      const answer = await put(gateway, 'a', body);
      expect(answer.status).toBe(status);
      expect(`${await answer.text()}${JSON.stringify(gateway.log)}`).not.toMatch(/hunter2|22222222|üüü/);
      expect((await gateway.fetch('/v1/secrets/a')).status).toBe(404);
    },
  );

  test.each(['a b', 'a:b', 'ä', '..', '-a', 'x'.repeat(65)])('%j is no name of a secret', async (name) => {
    const gateway = await startGateway({ secretKeys });
    const answer = await put(gateway, encodeURIComponent(name), { value: 'x' });
    expect([400, 404, 414]).toContain(answer.status);
    expect(await (await gateway.fetch('/v1/secrets')).json()).toEqual({ items: [] });
  });

  test('a tenant has no more than its limit, and can still rotate those that it has', async () => {
    const gateway = await startGateway({ secretKeys });
    const names = Array.from({ length: LIMITS.secrets }, (_, index) => `s${index}`);
    for (const name of names) expect((await put(gateway, name, { value: 'x' })).status).toBe(201);
    const over = await put(gateway, 'one-more', { value: 'x' });
    expect(over.status).toBe(429);
    expect(await over.json()).toMatchObject({
      code: 'quota-exceeded',
      limit: { name: 'secrets', value: LIMITS.secrets },
    });
    expect((await put(gateway, 's0', { value: 'y' })).status).toBe(200);
  });

  test('a change on one gateway is known to the other', async () => {
    const one = await startGateway({ secretKeys });
    const two = await startGateway({ secretKeys, redis: one.redis });
    expect(await two.services.secretGrants.of('default', ['a'])).toEqual({});
    await put(one, 'a', { value: 'x' });
    await expect.poll(() => two.services.secretGrants.of('default', ['a'])).toEqual({ a: 1 });
    // In memory now: a call does not wait for it.
    await two.services.secretGrants.of('default', ['a']);
    expect(two.services.secretGrants.of('default', ['a', 'b'])).toEqual({ a: 1 });
    expect(two.services.secretGrants.of('default', [])).toBeUndefined();
  });

  test('a platform without a file of keys takes none, by name', async () => {
    const gateway = await startGateway();
    const answer = await put(gateway, 'a', { value: 'hunter2' });
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({ code: 'no-secrets', retryable: false });
  });
});
