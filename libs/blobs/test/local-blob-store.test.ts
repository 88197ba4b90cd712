import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { LocalBlobStore } from '@mayfly/blobs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const HELLO = Buffer.from('hello');
const NOT_STORED = '0'.repeat(64);

let directory: string;
let store: LocalBlobStore;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mayfly-blobs-'));
  store = new LocalBlobStore(directory);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const files = async () => {
  const found = await readdir(directory, { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
};

describe('LocalBlobStore', () => {
  it('gives back what was put, under its hash', async () => {
    const stored = await store.put('default', HELLO);
    expect(stored).toMatchObject({ sha256: sha256(HELLO), lengthBytes: 5, created: true });
    expect(await store.get('default', stored.sha256, { limitBytes: 5 })).toEqual(HELLO);
    expect(await store.has('default', stored.sha256)).toBe(true);
  });

  it('stores no bytes at all as a blob, too', async () => {
    const { sha256: key } = await store.put('default', new Uint8Array());
    expect(await store.get('default', key, { limitBytes: 0 })).toHaveLength(0);
  });

  it('says that equal bytes were already there, and keeps one file', async () => {
    await store.put('default', HELLO);
    expect((await store.put('default', HELLO)).created).toBe(false);
    const again = await store.putStream('default', Readable.from([HELLO]), { limitBytes: 5 });
    expect(again.created).toBe(false);
    expect(await files()).toHaveLength(1);
  });

  it('keeps tenants apart', async () => {
    const { sha256: key } = await store.put('a', HELLO);
    expect(await store.has('b', key)).toBe(false);
    await expect(store.get('b', key, { limitBytes: 5 })).rejects.toMatchObject({
      code: 'MAYFLY_ERR_BLOB_MISSING',
    });
  });

  it('streams many chunks into one blob', async () => {
    const chunks = Array.from({ length: 40 }, (_, n) => Buffer.alloc(65_536, n));
    const stored = await store.putStream('default', Readable.from(chunks), { limitBytes: 40 * 65_536 });
    expect(stored.sha256).toBe(sha256(Buffer.concat(chunks)));
    const read = await store.get('default', stored.sha256, { limitBytes: 2 ** 22 });
    expect(read.equals(Buffer.concat(chunks))).toBe(true);
  });

  it('stores equal bytes from two writers at once', async () => {
    const bytes = Buffer.alloc(300_000, 7);
    const stored = await Promise.all([1, 2, 3].map(() => store.put('default', bytes, { durable: false })));
    expect(new Set(stored.map((blob) => blob.sha256)).size).toBe(1);
    expect(await files()).toHaveLength(1);
  });

  it('refuses a stream over the limit and leaves nothing behind', async () => {
    const source = Readable.from([Buffer.alloc(10), Buffer.alloc(10)]);
    await expect(store.putStream('default', source, { limitBytes: 19 })).rejects.toMatchObject({
      code: 'MAYFLY_ERR_BLOB_TOO_LARGE',
      details: { limitBytes: 19 },
    });
    expect(source.destroyed).toBe(true);
    expect(await files()).toEqual([]);
  });

  it('passes on the error of a stream that breaks and leaves nothing behind', async () => {
    async function* broken() {
      yield HELLO;
      throw new Error('the sender went away');
    }
    await expect(store.putStream('default', broken(), { limitBytes: 99 })).rejects.toThrow(
      'the sender went away',
    );
    expect(await files()).toEqual([]);
  });

  it('refuses bytes that do not have the expected hash and leaves nothing behind', async () => {
    const options = { limitBytes: 99, expectedSha256: NOT_STORED };
    await expect(store.putStream('default', Readable.from([HELLO]), options)).rejects.toMatchObject({
      code: 'MAYFLY_ERR_BLOB_DIGEST',
    });
    expect(await files()).toEqual([]);
  });

  it('refuses to read more than the limit', async () => {
    const { sha256: key } = await store.put('default', HELLO);
    await expect(store.get('default', key, { limitBytes: 4 })).rejects.toMatchObject({
      code: 'MAYFLY_ERR_BLOB_TOO_LARGE',
    });
  });

  it.each([
    ['other bytes of the same length', Buffer.from('jello')],
    ['fewer bytes', Buffer.from('hell')],
    ['no bytes', Buffer.alloc(0)],
  ])('refuses a file that holds %s', async (_name, bytes) => {
    const { sha256: key } = await store.put('default', HELLO);
    const [path] = await files();
    await writeFile(path as string, bytes);
    await expect(store.get('default', key, { limitBytes: 99 })).rejects.toMatchObject({
      code: 'MAYFLY_ERR_BLOB_CORRUPT',
    });
  });

  it('heals a file that was cut short when the bytes come again', async () => {
    const { sha256: key } = await store.put('default', HELLO);
    const [path] = await files();
    await writeFile(path as string, 'hel');
    expect((await store.put('default', HELLO)).created).toBe(true);
    expect(await readFile(path as string)).toEqual(HELLO);
    expect(await store.get('default', key, { limitBytes: 9 })).toEqual(HELLO);
  });

  it('takes back what was stored, but not what was there or has been stored again', async () => {
    const first = await store.put('default', HELLO);
    const again = await store.put('default', HELLO);
    await store.discard('default', again);
    await store.discard('default', first);
    expect(await store.has('default', first.sha256)).toBe(true);
    await store.delete('default', first.sha256);
    await store.discard('default', await store.put('default', HELLO));
    expect(await store.has('default', first.sha256)).toBe(false);
  });

  it('deletes, and deletes again without complaint', async () => {
    const { sha256: key } = await store.put('default', HELLO);
    await store.delete('default', key);
    await store.delete('default', key);
    expect(await store.has('default', key)).toBe(false);
  });

  it.each(['', '..', '.', 'a/b', '/etc', 'A', 'a:b', 'a\0', `a${'b'.repeat(63)}`, '-a'])(
    'refuses the tenant %j everywhere',
    async (tenant) => {
      const refused = { code: 'MAYFLY_ERR_BLOB_KEY' };
      await expect(store.put(tenant, HELLO)).rejects.toMatchObject(refused);
      await expect(store.putStream(tenant, Readable.from([]), { limitBytes: 1 })).rejects.toMatchObject(
        refused,
      );
      await expect(store.get(tenant, NOT_STORED, { limitBytes: 1 })).rejects.toMatchObject(refused);
      await expect(store.has(tenant, NOT_STORED)).rejects.toMatchObject(refused);
      await expect(store.delete(tenant, NOT_STORED)).rejects.toMatchObject(refused);
      await expect(store.sweep(tenant, { unusedForMs: 0, keep: () => false })).rejects.toMatchObject(refused);
    },
  );

  it.each(['', '..', `../${'0'.repeat(61)}`, '0'.repeat(63), '0'.repeat(65), 'G'.repeat(64), 'A'.repeat(64)])(
    'refuses the hash %j everywhere',
    async (key) => {
      const refused = { code: 'MAYFLY_ERR_BLOB_KEY' };
      await expect(store.get('default', key, { limitBytes: 1 })).rejects.toMatchObject(refused);
      await expect(store.has('default', key)).rejects.toMatchObject(refused);
      await expect(store.delete('default', key)).rejects.toMatchObject(refused);
    },
  );

  it('reports a storage that fails as a host fault with its cause', async () => {
    const path = join(directory, 'file');
    await writeFile(path, '');
    await expect(new LocalBlobStore(path).put('default', HELLO)).rejects.toMatchObject({
      code: 'MAYFLY_ERR_BLOB_STORAGE',
      cause: { code: 'ENOTDIR' },
    });
  });

  it('sweeps what is old, unless it is kept or was put again', async () => {
    const old = new Date(Date.now() - 100_000);
    const blobs = await Promise.all(
      ['stale', 'kept', 'again', 'fresh'].map((text) => store.put('t', Buffer.from(text))),
    );
    const [stale, kept, again, fresh] = blobs.map((blob) => blob.sha256);
    for (const path of await files()) if (!path.endsWith(fresh as string)) await utimes(path, old, old);
    await store.put('t', Buffer.from('again'));
    expect(await store.sweep('t', { unusedForMs: 50_000, keep: (key) => key === kept })).toBe(1);
    expect(await store.has('t', stale as string)).toBe(false);
    for (const key of [kept, again, fresh]) expect(await store.has('t', key as string)).toBe(true);
  });

  it('sweeps a tenant that has nothing', async () => {
    expect(await store.sweep('nobody', { unusedForMs: 0, keep: () => false })).toBe(0);
  });
});
