import { parseRedisUrl } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import { workerError } from './errors.js';

const LONGEST_RETRY_MS = 2_000;

/**
 * A client that waits for Redis as long as it takes, which BullMQ demands, and pipelines nothing on its own: that
 * costs more than it saves beside BullMQ.
 * @throws MAYFLY_ERR_CONFIG for a URL that is none.
 */
export function connectRedis(url: string): Redis {
  const address = parseRedisUrl(url);
  if (address === undefined) throw workerError('MAYFLY_ERR_CONFIG', 'not the URL of a Redis');
  return new Redis({
    ...address,
    maxRetriesPerRequest: null,
    retryStrategy: (attempt) => Math.min(50 * 2 ** Math.min(attempt, 10), LONGEST_RETRY_MS),
  });
}

/** Ends a client: politely where Redis answers, at once where it does not. */
export async function disconnectRedis(redis: Redis): Promise<void> {
  if (redis.status === 'ready') await redis.quit().catch(() => undefined);
  redis.disconnect();
}
