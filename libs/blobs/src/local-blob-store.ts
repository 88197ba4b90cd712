import { createHash, randomBytes } from 'node:crypto';
import { type FileHandle, mkdir, open, readdir, rename, stat, unlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isMayflyError, isSha256Hex, isTenantName } from '@mayfly/contracts';
import type {
  BlobStore,
  GetOptions,
  PutOptions,
  PutStreamOptions,
  StoredBlob,
  SweepOptions,
} from './blob-store.js';
import { blobError } from './errors.js';

/**
 * Blobs as files: `<directory>/objects/<tenant>/<first two hex digits>/<sha256>`. Bytes arrive in
 * `<directory>/tmp` and are renamed into place, so a reader sees a whole blob or none.
 */
export class LocalBlobStore implements BlobStore {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async putStream(
    tenant: string,
    source: AsyncIterable<Uint8Array>,
    options: PutStreamOptions,
  ): Promise<StoredBlob> {
    checkTenant(tenant);
    const temporaryPath = await storage(() => this.#temporaryPath());
    let handle: FileHandle | undefined = await storage(() => open(temporaryPath, 'wx', 0o600));
    try {
      const file = handle;
      const hash = createHash('sha256');
      let lengthBytes = 0;
      for await (const chunk of source) {
        lengthBytes += chunk.byteLength;
        if (lengthBytes > options.limitBytes) throw tooLarge(options.limitBytes);
        hash.update(chunk);
        await storage(() => writeAll(file, chunk));
      }
      const sha256 = hash.digest('hex');
      if (options.expectedSha256 !== undefined && options.expectedSha256 !== sha256)
        throw blobError('MAYFLY_ERR_BLOB_DIGEST', `the bytes have sha-256 ${sha256}`, {
          details: { sha256 },
        });
      if (options.durable !== false) await storage(() => file.sync());
      handle = undefined;
      await storage(() => file.close());
      return await storage(() => this.#commit(temporaryPath, { tenant, sha256, lengthBytes, options }));
    } catch (error) {
      await handle?.close().catch(() => undefined);
      await unlink(temporaryPath).catch(() => undefined);
      throw error;
    }
  }

  async put(tenant: string, bytes: Uint8Array, options: PutOptions = {}): Promise<StoredBlob> {
    checkTenant(tenant);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const storedAtMs = await storage(() => this.#touch(tenant, sha256, bytes.byteLength));
    if (storedAtMs !== undefined)
      return { sha256, lengthBytes: bytes.byteLength, created: false, storedAtMs };
    return this.putStream(tenant, only(bytes), { ...options, limitBytes: bytes.byteLength });
  }

  async get(tenant: string, sha256: string, options: GetOptions): Promise<Buffer> {
    const path = this.#path(tenant, sha256);
    const bytes = await storage(async () => {
      const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') throw blobError('MAYFLY_ERR_BLOB_MISSING', `no blob ${sha256}`);
        throw error;
      });
      try {
        const { size } = await handle.stat();
        if (size > options.limitBytes) throw tooLarge(options.limitBytes);
        return await readAll(handle, size);
      } finally {
        await handle.close();
      }
    });
    if (createHash('sha256').update(bytes).digest('hex') !== sha256)
      throw blobError('MAYFLY_ERR_BLOB_CORRUPT', `blob ${sha256} has other bytes`);
    return bytes;
  }

  async has(tenant: string, sha256: string): Promise<boolean> {
    const path = this.#path(tenant, sha256);
    return storage(async () => (await sizeOf(path)) !== undefined);
  }

  async delete(tenant: string, sha256: string): Promise<void> {
    const path = this.#path(tenant, sha256);
    await storage(() => unlinkIfThere(path));
  }

  async discard(tenant: string, { sha256, created, storedAtMs }: StoredBlob): Promise<void> {
    const path = this.#path(tenant, sha256);
    if (!created) return;
    await storage(async () => {
      // Who stores the same bytes again, changes the time.
      const mtimeMs = await stat(path).then(
        (found) => found.mtimeMs,
        () => undefined,
      );
      if (mtimeMs === storedAtMs) await unlinkIfThere(path);
    });
  }

  async sweep(tenant: string, options: SweepOptions): Promise<number> {
    checkTenant(tenant);
    const oldestMs = Date.now() - options.unusedForMs;
    const tenantDirectory = join(this.#directory, 'objects', tenant);
    return storage(async () => {
      let deleted = 0;
      for (const shard of await entries(tenantDirectory)) {
        for (const sha256 of await entries(join(tenantDirectory, shard))) {
          if (!isSha256Hex(sha256) || options.keep(sha256)) continue;
          const path = join(tenantDirectory, shard, sha256);
          const modifiedMs = await stat(path).then(
            (found) => found.mtimeMs,
            () => Number.POSITIVE_INFINITY,
          );
          if (modifiedMs >= oldestMs) continue;
          await unlinkIfThere(path);
          deleted += 1;
        }
      }
      return deleted;
    });
  }

  #path(tenant: string, sha256: string): string {
    checkTenant(tenant);
    if (!isSha256Hex(sha256)) throw blobError('MAYFLY_ERR_BLOB_KEY', 'expected a sha-256 in lower-case hex');
    return join(this.#directory, 'objects', tenant, sha256.slice(0, 2), sha256);
  }

  async #temporaryPath(): Promise<string> {
    const directory = join(this.#directory, 'tmp');
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return join(directory, randomBytes(16).toString('hex'));
  }

  /** Marks a blob as used, so that `sweep` spares it. @returns when, if it is there with this length. */
  async #touch(tenant: string, sha256: string, lengthBytes: number): Promise<number | undefined> {
    const path = this.#path(tenant, sha256);
    if ((await sizeOf(path)) !== lengthBytes) return undefined;
    const now = new Date();
    return utimes(path, now, now).then(
      () => now.getTime(),
      () => undefined,
    );
  }

  async #commit(
    temporaryPath: string,
    blob: { tenant: string; sha256: string; lengthBytes: number; options: PutOptions },
  ): Promise<StoredBlob> {
    const { tenant, sha256, lengthBytes } = blob;
    const touchedAtMs = await this.#touch(tenant, sha256, lengthBytes);
    if (touchedAtMs !== undefined) {
      await unlink(temporaryPath);
      return { sha256, lengthBytes, created: false, storedAtMs: touchedAtMs };
    }
    const { mtimeMs: storedAtMs } = await stat(temporaryPath);
    const path = this.#path(tenant, sha256);
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await rename(temporaryPath, path);
    if (blob.options.durable !== false) await syncDirectory(dirname(path));
    return { sha256, lengthBytes, created: true, storedAtMs };
  }
}

function checkTenant(tenant: string): void {
  if (!isTenantName(tenant)) throw blobError('MAYFLY_ERR_BLOB_KEY', 'expected a tenant name');
}

function tooLarge(limitBytes: number) {
  return blobError('MAYFLY_ERR_BLOB_TOO_LARGE', `more than ${limitBytes} bytes`, { details: { limitBytes } });
}

/** Runs a storage step; a system error becomes a host fault with its cause. */
async function storage<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (isMayflyError(error)) throw error;
    throw blobError('MAYFLY_ERR_BLOB_STORAGE', 'the blob store failed', { cause: error });
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(bytes, offset, bytes.byteLength - offset);
    offset += bytesWritten;
  }
}

async function readAll(handle: FileHandle, lengthBytes: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(lengthBytes);
  let offset = 0;
  while (offset < lengthBytes) {
    const { bytesRead } = await handle.read(bytes, offset, lengthBytes - offset, offset);
    if (bytesRead === 0) break;
    offset += bytesRead;
  }
  return bytes.subarray(0, offset);
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    (found) => found.size,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    },
  );
}

async function entries(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}

async function unlinkIfThere(path: string): Promise<void> {
  await unlink(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
