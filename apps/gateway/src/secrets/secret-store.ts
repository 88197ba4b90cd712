import { channels, keys, LIMITS } from '@mayfly/contracts';
import type { SecretKeys } from '@mayfly/secrets';
import type { Redis } from 'ioredis';
import { gatewayError } from '../errors.js';
import { orUnavailable } from '../redis.js';

/** A secret as it may be shown: never its text. Versions oldest first; the last one is what calls get. */
export interface SecretInfo {
  readonly name: string;
  readonly versions: readonly { readonly version: number; readonly createdAtMs: number }[];
}

/** Longer than any call may wait: until then a number that a queued call names means nothing else. */
const NUMBERS_KEPT_MS = LIMITS.recordRetentionMs;

/** KEYS secret, secrets. ARGV name, most secrets, life of unused numbers. @returns the next number, 0 when there are too many. */
const RESERVE = `
local known = redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1
if not known and redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[2]) then return 0 end
local n = redis.call('HINCRBY', KEYS[1], 'next', 1)
if not known then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return n`;

/** KEYS secret, secrets. ARGV name, number, sealed text, its time, versions to keep. */
const STORE = `
local text = redis.call('HGET', KEYS[2], ARGV[1])
local versions = text and cjson.decode(text) or {}
table.insert(versions, {tonumber(ARGV[2]), tonumber(ARGV[4])})
table.sort(versions, function(a, b) return a[1] < b[1] end)
redis.call('HSET', KEYS[1], 'v' .. ARGV[2], ARGV[3])
redis.call('PERSIST', KEYS[1])
while #versions > tonumber(ARGV[5]) do
  redis.call('HDEL', KEYS[1], string.format('v%d', table.remove(versions, 1)[1]))
end
redis.call('HSET', KEYS[2], ARGV[1], cjson.encode(versions))`;

/** KEYS secret, secrets. ARGV name, number or '' for all, life of unused numbers. @returns how many versions went. */
const REMOVE = `
local text = redis.call('HGET', KEYS[2], ARGV[1])
if not text then return 0 end
local left, gone = {}, 0
for _, entry in ipairs(cjson.decode(text)) do
  if ARGV[2] == '' or entry[1] == tonumber(ARGV[2]) then
    gone = gone + redis.call('HDEL', KEYS[1], string.format('v%d', entry[1]))
  else table.insert(left, entry) end
end
if #left > 0 then redis.call('HSET', KEYS[2], ARGV[1], cjson.encode(left)) return gone end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return gone`;

/** Secrets of all tenants, sealed, in Redis. Nothing here reads one back: only workers open them. Names are checked by the caller. */
export class SecretStore {
  readonly #redis: Redis;
  readonly #keys: SecretKeys | undefined;

  /** @param secretKeys absent: no secret can be put. */
  constructor(redis: Redis, secretKeys: SecretKeys | undefined) {
    this.#redis = redis;
    this.#keys = secretKeys;
  }

  /**
   * Makes the next version; the oldest goes where there are too many.
   * @throws MAYFLY_ERR_GATEWAY_NO_SECRETS, MAYFLY_ERR_GATEWAY_QUOTA, MAYFLY_ERR_GATEWAY_UNAVAILABLE
   */
  async put(
    tenant: string,
    name: string,
    plain: Uint8Array,
  ): Promise<{ version: number; createdAtMs: number; isFirst: boolean }> {
    if (this.#keys === undefined)
      throw gatewayError(
        'MAYFLY_ERR_GATEWAY_NO_SECRETS',
        'the gateway has no file of keys to seal secrets with',
      );
    // The number is part of what is sealed, so it is fetched first.
    const args = [name, LIMITS.secrets, NUMBERS_KEPT_MS];
    const version = (await this.#eval(RESERVE, tenant, name, args)) as number;
    if (version === 0)
      throw gatewayError('MAYFLY_ERR_GATEWAY_QUOTA', `the tenant has ${LIMITS.secrets} secrets`, {
        details: { limit: { name: 'secrets', value: LIMITS.secrets, current: LIMITS.secrets } },
      });
    const createdAtMs = Date.now();
    const sealed = this.#keys.seal({ tenant, name, version }, plain);
    await this.#eval(STORE, tenant, name, [name, version, sealed, createdAtMs, LIMITS.secretVersions]);
    await this.#announce(tenant);
    return { version, createdAtMs, isFirst: version === 1 };
  }

  /** By name. */
  async list(tenant: string): Promise<SecretInfo[]> {
    const fields = await orUnavailable(this.#redis.hgetall(keys.secrets(tenant)));
    return Object.entries(fields)
      .map(([name, text]) => infoOf(name, text))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async find(tenant: string, name: string): Promise<SecretInfo | undefined> {
    const text = await orUnavailable(this.#redis.hget(keys.secrets(tenant), name));
    return text === null ? undefined : infoOf(name, text);
  }

  /** @param version absent: all of them, and the name. @returns whether there was such a one. */
  async remove(tenant: string, name: string, version?: number): Promise<boolean> {
    const args = [name, version ?? '', NUMBERS_KEPT_MS];
    const gone = (await this.#eval(REMOVE, tenant, name, args)) as number;
    if (gone > 0) await this.#announce(tenant);
    return gone > 0;
  }

  async #announce(tenant: string): Promise<void> {
    await orUnavailable(this.#redis.publish(channels.secrets, tenant));
  }

  #eval(script: string, tenant: string, name: string, args: readonly (string | number)[]): Promise<unknown> {
    const places = [keys.secret(tenant, name), keys.secrets(tenant)];
    return orUnavailable(this.#redis.eval(script, 2, ...places, ...args));
  }
}

function infoOf(name: string, text: string): SecretInfo {
  const versions = JSON.parse(text) as readonly [version: number, createdAtMs: number][];
  return { name, versions: versions.map(([version, createdAtMs]) => ({ version, createdAtMs })) };
}
