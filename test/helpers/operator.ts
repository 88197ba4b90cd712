import { createHash, randomBytes } from 'node:crypto';
import { keys } from '@mayfly/contracts';
import { Redis } from 'ioredis';

/** Puts an operator's key where gateways find it, within a second if they run already. @returns its text */
export async function makeOperator(socketPath: string): Promise<string> {
  const redis = new Redis({ path: socketPath });
  try {
    const id = randomBytes(6).toString('hex');
    const text = `mfo_${id}_${randomBytes(24).toString('hex')}`;
    const sha256 = createHash('sha256').update(text).digest('hex');
    const key = { id, kind: 'operator', tenant: '', sha256, scopes: [], createdAtMs: Date.now() };
    await redis.hset(keys.apiKeys, id, JSON.stringify(key));
    await redis.zadd(keys.tenantChanges, await redis.incr(keys.tenantRevision), `k:${id}`);
    return text;
  } finally {
    redis.disconnect();
  }
}
