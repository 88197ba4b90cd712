export interface StoredBlob {
  /** Lower-case hex; the blob's key within its tenant. */
  readonly sha256: string;
  readonly lengthBytes: number;
  /** False when the tenant already had these bytes. */
  readonly created: boolean;
  /** When it was stored, in epoch milliseconds by the store's own clock; `discard` compares it. */
  readonly storedAtMs: number;
}

export interface PutOptions {
  /**
   * Whether the bytes survive a power loss once the promise resolves. `false` saves the wait for the disk, for bytes
   * that live no longer than a call.
   * @defaultValue true
   */
  readonly durable?: boolean;
}

export interface PutStreamOptions extends PutOptions {
  /** More bytes than this fail with MAYFLY_ERR_BLOB_TOO_LARGE, and nothing is kept. */
  readonly limitBytes: number;
  /** sha-256 (hex) that the bytes must have; others fail with MAYFLY_ERR_BLOB_DIGEST, and nothing is kept. */
  readonly expectedSha256?: string;
}

export interface GetOptions {
  /** A blob larger than this fails with MAYFLY_ERR_BLOB_TOO_LARGE before it is read. */
  readonly limitBytes: number;
}

export interface SweepOptions {
  /** Blobs that were stored, or stored again, within this time stay. */
  readonly unusedForMs: number;
  /** Blobs that stay whatever their age. */
  readonly keep: (sha256: string) => boolean;
}

/**
 * Bytes by (tenant, sha-256). Tenants never share a blob, and what is read has the hash it was asked for.
 *
 * Every method rejects with MAYFLY_ERR_BLOB_KEY for a tenant name or hash that cannot be one, and with
 * MAYFLY_ERR_BLOB_STORAGE (host fault) when the storage itself fails.
 */
export interface BlobStore {
  /** A failure of the source stream rejects with that stream's own error; nothing is kept then. */
  putStream(
    tenant: string,
    source: AsyncIterable<Uint8Array>,
    options: PutStreamOptions,
  ): Promise<StoredBlob>;
  put(tenant: string, bytes: Uint8Array, options?: PutOptions): Promise<StoredBlob>;
  /**
   * The whole blob, its hash checked.
   * @throws MAYFLY_ERR_BLOB_MISSING, MAYFLY_ERR_BLOB_CORRUPT, MAYFLY_ERR_BLOB_TOO_LARGE
   */
  get(tenant: string, sha256: string, options: GetOptions): Promise<Buffer>;
  has(tenant: string, sha256: string): Promise<boolean>;
  /** Harmless when there is no such blob. */
  delete(tenant: string, sha256: string): Promise<void>;
  /** Takes a `put` back: deletes what it created, unless somebody has stored the same bytes again since. */
  discard(tenant: string, stored: StoredBlob): Promise<void>;
  /** Deletes a tenant's unused blobs. @returns how many. */
  sweep(tenant: string, options: SweepOptions): Promise<number>;
}
