import { keys, LIMITS } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { orUnavailable } from '../redis.js';

/** A batch whose calls were accepted together. */
export interface Batch {
  readonly v: 1;
  readonly batchId: string;
  readonly function: string;
  readonly createdAtMs: number;
  readonly invocationIds: readonly string[];
  /** Calls that were not accepted. */
  readonly refused: number;
}

/** Batches in Redis; they live as long as the records of their calls. */
export class BatchStore {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  async write(tenant: string, batch: Batch): Promise<void> {
    const key = keys.batch(tenant, batch.batchId);
    await orUnavailable(this.#redis.set(key, JSON.stringify(batch), 'PX', LIMITS.recordRetentionMs));
  }

  async find(tenant: string, batchId: string): Promise<Batch | undefined> {
    const text = await orUnavailable(this.#redis.get(keys.batch(tenant, batchId)));
    return text === null ? undefined : (JSON.parse(text) as Batch);
  }
}
