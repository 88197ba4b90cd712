import { parseRedisUrl } from '@mayfly/contracts';
import { Redis } from 'ioredis';

export function connect(url: string): Redis {
  const address = parseRedisUrl(url);
  if (!address) throw new TypeError(`not a Redis URL: ${url}`);
  return new Redis({ ...address, maxRetriesPerRequest: null });
}
