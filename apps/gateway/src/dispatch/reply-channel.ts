import { channels } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import type { Canceler } from '../invocations/canceler.js';
import type { FunctionCache } from '../registry/function-cache.js';
import type { SecretGrants } from '../secrets/secret-grants.js';
import type { TenantDirectory } from '../tenants/tenant-directory.js';
import type { CancelDesk } from './cancel-desk.js';
import type { Waiters } from './waiters.js';

export interface ReplyChannelDeps {
  /** A connection of its own: a subscriber can do nothing else. */
  readonly subscriber: Redis;
  readonly gatewayId: string;
  readonly waiters: Waiters;
  readonly cache: FunctionCache;
  readonly directory: TenantDirectory;
  readonly secretGrants: SecretGrants;
  readonly desk: CancelDesk;
  readonly canceler: Pick<Canceler, 'obey'>;
  /** Reads the record of an open call and ends the call with it, when there is one. */
  readonly collect: (token: string) => Promise<void>;
}

/**
 * What this gateway hears from Redis: answers whose worker cannot reach the reply socket, and what changed of
 * functions, tenants and keys.
 * Pub/sub forgets what it sent while a connection was down, so after each reconnect every open call is looked up and
 * the cache is emptied.
 */
export async function listenOnRedis(deps: ReplyChannelDeps): Promise<void> {
  const { subscriber, gatewayId, waiters, cache, directory, secretGrants, desk, canceler, collect } = deps;
  const replies = channels.reply(gatewayId);
  subscriber.on('message', (channel, message) => {
    const [first = '', second = ''] = message.split(' ');
    if (channel === replies) void collect(first);
    else if (channel === channels.tenants) directory.refresh().catch(() => undefined);
    else if (channel === channels.secrets) secretGrants.forget(first);
    else if (channel === channels.registry) cache.forget(first, second);
    else if (desk.channels.includes(channel)) desk.heard(channel, message, (order) => canceler.obey(order));
  });
  const heard = [channels.registry, channels.tenants, channels.secrets, ...desk.channels];
  const subscribe = () => subscriber.subscribe(replies, ...heard);
  await subscribe();
  subscriber.on('ready', () => {
    // Looked up only once the subscription holds again: what comes later is heard.
    const catchUp = () => {
      cache.clear();
      secretGrants.clear();
      for (const waiter of waiters.all()) void collect(waiter.token);
    };
    subscribe().then(catchUp, catchUp);
  });
}
