/** Where a Redis is, in the option names of ioredis. */
export type RedisAddress = {
  readonly username?: string;
  readonly password?: string;
  readonly db?: number;
} & (
  | { readonly path: string }
  | { readonly host: string; readonly port: number; readonly tls?: Record<string, never> }
);

const DEFAULT_PORT = 6379;

/**
 * Reads `redis://[user:password@]host[:port][/db]`, `rediss://…` (TLS) and
 * `redis+unix://[user:password@]localhost/path/to/socket` (also `redis+unix:///path`).
 * Returns undefined when the text is none of them.
 */
export function parseRedisUrl(text: string): RedisAddress | undefined {
  try {
    return addressOf(text);
  } catch (error) {
    // Neither a text that is no URL nor a `%` that begins no escape is a Redis.
    if (error instanceof TypeError || error instanceof URIError) return undefined;
    throw error;
  }
}

function addressOf(text: string): RedisAddress | undefined {
  const url = new URL(text);
  const credentials = {
    ...(url.username !== '' && { username: decodeURIComponent(url.username) }),
    ...(url.password !== '' && { password: decodeURIComponent(url.password) }),
  };
  if (url.protocol === 'redis+unix:') {
    return url.pathname.length > 1 ? { ...credentials, path: decodeURIComponent(url.pathname) } : undefined;
  }
  if ((url.protocol !== 'redis:' && url.protocol !== 'rediss:') || url.hostname === '') return undefined;
  const db = /^\/?(\d{0,3})$/.exec(url.pathname)?.[1];
  if (db === undefined) return undefined;
  return {
    ...credentials,
    ...(db !== '' && { db: Number(db) }),
    ...(url.protocol === 'rediss:' && { tls: {} }),
    host: url.hostname,
    port: url.port === '' ? DEFAULT_PORT : Number(url.port),
  };
}
