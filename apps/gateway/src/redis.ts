import type { RedisAddress } from '@mayfly/contracts';
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { gatewayError } from './errors.js';

const CONNECT_TIMEOUT_MS = 2_000;
const COMMAND_TIMEOUT_MS = 2_000;
const MAX_RECONNECT_MS = 1_000;

/**
 * The connections of one gateway. Commands fail fast: a caller is told that the platform is not available instead of
 * waiting for it.
 */
export interface RedisConnections {
  readonly commands: Redis;
  readonly subscriber: Redis;
  close(): Promise<void>;
}

/** Connects both; rejects when Redis is not there. They reconnect by themselves later. */
export async function connectRedis(address: RedisAddress, logger: Logger): Promise<RedisConnections> {
  const shared = {
    ...address,
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    retryStrategy: (attempt: number) => Math.min(attempt * 50, MAX_RECONNECT_MS),
  };
  const commands = new Redis({
    ...shared,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: COMMAND_TIMEOUT_MS,
  });
  const subscriber = new Redis({ ...shared, maxRetriesPerRequest: null });
  for (const connection of [commands, subscriber]) logTransitions(connection, logger);
  const close = async () => {
    for (const connection of [commands, subscriber]) connection.disconnect();
  };
  try {
    await Promise.all([commands.connect(), subscriber.connect()]);
  } catch (error) {
    await close();
    throw error;
  }
  return { commands, subscriber, close };
}

/** One line when the connection goes and one when it is back, not one per attempt. */
function logTransitions(connection: Redis, logger: Logger): void {
  let up = true;
  connection.on('ready', () => {
    if (!up) logger.info('Redis is back');
    up = true;
  });
  connection.on('error', (error: Error) => {
    if (up) logger.error({ err: error }, 'Redis is not reachable');
    up = false;
  });
}

/** @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE in place of whatever the client threw. */
export async function orUnavailable<T>(command: Promise<T>): Promise<T> {
  try {
    return await command;
  } catch (cause) {
    throw gatewayError('MAYFLY_ERR_GATEWAY_UNAVAILABLE', 'the platform cannot reach its store', { cause });
  }
}
