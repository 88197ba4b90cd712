import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readSecretKeys, SecretKeys } from '../src/index.js';

const place = { tenant: 'acme', name: 'db-password', version: 3 };
const plain = Buffer.from('correct horse battery staple');

describe('sealed secrets', () => {
  test.each([0, 1, 28, 65_536])('%i bytes come back as they went in', (lengthBytes) => {
    const keys = new SecretKeys([randomBytes(32)]);
    const bytes = randomBytes(lengthBytes);
    expect(keys.open(place, keys.seal(place, bytes)).equals(bytes)).toBe(true);
  });

  test('the same text sealed twice looks different, and shows nothing of it', () => {
    const keys = new SecretKeys([randomBytes(32)]);
    const sealed = [keys.seal(place, plain), keys.seal(place, plain)];
    expect(sealed[0]).not.toBe(sealed[1]);
    for (const text of sealed) {
      expect(text).not.toContain(plain.toString());
      expect(text).not.toContain(plain.toString('base64url').slice(0, 20));
    }
  });

  test.each([
    ['tenant', { ...place, tenant: 'other' }],
    ['name', { ...place, name: 'api-key' }],
    ['version', { ...place, version: 4 }],
  ])('a sealed text does not open under another %s', (_, elsewhere) => {
    const keys = new SecretKeys([randomBytes(32)]);
    expect(() => keys.open(elsewhere, keys.seal(place, plain))).toThrow(
      expect.objectContaining({ code: 'MAYFLY_ERR_SECRETS_SEALED' }),
    );
  });

  test('no byte of a sealed text can be changed', () => {
    const keys = new SecretKeys([randomBytes(32)]);
    const sealed = keys.seal(place, plain);
    const [version, id, text = ''] = sealed.split('.');
    const bytes = Buffer.from(text, 'base64url');
    for (const index of bytes.keys()) {
      const changed = Buffer.from(bytes);
      changed[index] = (changed[index] ?? 0) ^ 1;
      expect(() => keys.open(place, [version, id, changed.toString('base64url')].join('.'))).toThrow(
        expect.objectContaining({ code: 'MAYFLY_ERR_SECRETS_SEALED' }),
      );
    }
  });

  test.each(['', 'v1', 'v1..', 'v2.000000000000.AAAA', 'v1.000000000000.AAAA', 'plain'])(
    'what is no sealed text is refused by name: %j',
    (text) => {
      expect(() => new SecretKeys([randomBytes(32)]).open(place, text)).toThrow(
        expect.objectContaining({ code: 'MAYFLY_ERR_SECRETS_SEALED' }),
      );
    },
  );

  test('a new key before the old one seals, and both open; without the old one its texts name the key', () => {
    const [first, second] = [randomBytes(32), randomBytes(32)];
    const sealed = new SecretKeys([first]).seal(place, plain);
    const rotated = new SecretKeys([second, first]);
    expect(rotated.open(place, sealed).equals(plain)).toBe(true);
    const fresh = rotated.seal(place, plain);
    expect(new SecretKeys([second]).open(place, fresh).equals(plain)).toBe(true);
    expect(() => new SecretKeys([second]).open(place, sealed)).toThrow(
      expect.objectContaining({
        code: 'MAYFLY_ERR_SECRETS_KEY_UNKNOWN',
        details: expect.objectContaining({ keyId: sealed.split('.')[1] }),
      }),
    );
  });
});

describe('the file of keys', () => {
  const fileOf = async (text: string) => {
    const folder = await mkdtemp(join(tmpdir(), 'mf-secrets-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const path = join(folder, 'keys');
    await writeFile(path, text);
    return path;
  };

  test('hex and base64 lines are keys, the first one seals, comments do not count', async () => {
    const [hex, base64] = [randomBytes(32), randomBytes(32)];
    const path = await fileOf(`# made in May\n${hex.toString('hex')}\n\n  ${base64.toString('base64')}  \n`);
    const keys = await readSecretKeys(path);
    expect(new SecretKeys([hex]).open(place, keys.seal(place, plain)).equals(plain)).toBe(true);
    expect(keys.open(place, new SecretKeys([base64]).seal(place, plain)).equals(plain)).toBe(true);
  });

  test.each([
    ['empty', ''],
    ['short', 'abcdef'],
    ['not text of a key', `${'ab'.repeat(32)}\nhunter2hunter2`],
  ])('a file that is %s is refused, and its text is not in the error', async (_, text) => {
    const failure = await readSecretKeys(await fileOf(text)).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'MAYFLY_ERR_SECRETS_KEY_FILE' });
    expect(String(failure)).not.toMatch(/hunter2|abcdef|abab/);
  });

  test('a file that is not there is named', async () => {
    await expect(readSecretKeys('/nowhere/keys')).rejects.toMatchObject({
      code: 'MAYFLY_ERR_SECRETS_KEY_FILE',
      message: expect.stringContaining('/nowhere/keys'),
    });
  });
});
