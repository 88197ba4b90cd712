import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kvmWorks, type Mayfly, startMayfly } from '../helpers/mayfly.js';

describe.skipIf(!kvmWorks)('secrets and environment values, as a tenant uses them (needs /dev/kvm)', () => {
  let mayfly: Mayfly;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'mf-e2e-secrets-'));
    const keyFile = path.join(folder, 'keys');
    await writeFile(keyFile, randomBytes(32).toString('base64'));
    mayfly = await startMayfly({ env: { MAYFLY_SECRETS_KEY_FILE: keyFile } });
    expect((await mayfly.upload('password')).status).toBe(201);
  });
  afterAll(async () => {
    await mayfly?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const put = (target: string, body: unknown) =>
    mayfly.request(target, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', 'if-match': '*' },
      body: JSON.stringify(body),
    });
  const check = async (attempt: string) => {
    const answer = await mayfly.invoke({ function: 'password', entrypoint: 'Check', args: [attempt] });
    const { result, code } = (await answer.json()) as { result?: { value: boolean }; code?: string };
    return result?.value ?? code;
  };

  it('a function reads what it was granted, each call the newest version, and nothing else', async () => {
    expect((await put('/v1/secrets/password', { value: 'correct horse' })).status).toBe(201);
    expect(await check('correct horse')).toBe('guest-error');
    expect((await put('/v1/functions/password/config', { secrets: ['password'] })).status).toBe(200);
    expect(await check('correct horse')).toBe(true);
    expect(await check('wrong horse')).toBe(false);
    expect((await put('/v1/secrets/password', { value: 'battery staple' })).status).toBe(200);
    expect(await check('battery staple')).toBe(true);
    expect(await check('correct horse')).toBe(false);
    expect((await mayfly.request('/v1/secrets/password', { method: 'DELETE' })).status).toBe(204);
    expect(await check('battery staple')).toBe('guest-error');
  });

  it('environment values of the configuration reach the guest, in sync and in async calls', async () => {
    expect((await put('/v1/functions/password/config', { env: { HINT: 'four words' } })).status).toBe(200);
    const sync = await mayfly.invoke({ function: 'password', entrypoint: 'Hint' });
    expect(await sync.json()).toMatchObject({ result: { value: 'four words' } });
    const accepted = await mayfly.request('/invoke', {
      method: 'POST',
      headers: { 'content-type': 'application/json', prefer: 'respond-async, wait=10' },
      body: JSON.stringify({ function: 'password', entrypoint: 'Hint' }),
    });
    expect(await accepted.json()).toMatchObject({ result: { value: 'four words' } });
  });
});
