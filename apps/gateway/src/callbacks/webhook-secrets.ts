import { randomBytes } from 'node:crypto';
import { keys } from '@mayfly/contracts';
import type { SecretKeys } from '@mayfly/secrets';
import type { Redis } from 'ioredis';
import { gatewayError } from '../errors.js';
import { orUnavailable } from '../redis.js';

/** What Standard Webhooks asks for: 24 to 64 bytes. */
const SECRET_BYTES = 32;
/** A colon is in no name of a tenant's own secret, so that neither opens in the other's place. */
const SEAL_NAME = ':webhook';
const FRESH_MS = 5_000;
const MAX_TENANTS = 10_000;

/** What may be shown of a tenant's signing secret. */
export interface WebhookSecretInfo {
  readonly version: number;
  readonly createdAtMs: number;
  /** Until when the one before signs, too. */
  readonly previousUntilMs?: number;
}

/** KEYS secret. ARGV version, sealed, now, overlap ms. The newest number wins, whoever writes last. */
const ROTATE = `
local known = redis.call('HMGET', KEYS[1], 'version', 'sealed')
if known[1] and tonumber(known[1]) > tonumber(ARGV[1]) then return 0 end
redis.call('HDEL', KEYS[1], 'previous', 'previousVersion', 'previousUntilMs')
if known[2] and tonumber(ARGV[4]) > 0 then
  redis.call('HSET', KEYS[1], 'previous', known[2], 'previousVersion', known[1],
    'previousUntilMs', string.format('%.0f', ARGV[3] + ARGV[4]))
end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'sealed', ARGV[2], 'createdAtMs', ARGV[3])
return 1`;

type Fields = Readonly<Record<string, string>>;

/** The secrets that callbacks are signed with, one a tenant, sealed in Redis; during a rotation two of them hold. */
export class WebhookSecrets {
  readonly #redis: Redis;
  readonly #keys: SecretKeys | undefined;
  readonly #known = new Map<string, { readonly fields: Promise<Fields>; readonly atMs: number }>();

  constructor(redis: Redis, secretKeys: SecretKeys | undefined) {
    this.#redis = redis;
    this.#keys = secretKeys;
  }

  /**
   * Makes a new one.
   * @param overlapMs how long the one before signs, too
   * @returns its text, which is shown this once
   * @throws MAYFLY_ERR_GATEWAY_NO_SECRETS, MAYFLY_ERR_GATEWAY_UNAVAILABLE
   */
  async rotate(
    tenant: string,
    overlapMs: number,
  ): Promise<{ readonly secret: string; readonly info: WebhookSecretInfo }> {
    const sealing = this.#sealing();
    const key = keys.webhookSecret(tenant);
    const version = await orUnavailable(this.#redis.hincrby(key, 'next', 1));
    const bytes = randomBytes(SECRET_BYTES);
    const sealed = sealing.seal({ tenant, name: SEAL_NAME, version }, bytes);
    await orUnavailable(this.#redis.eval(ROTATE, 1, key, version, sealed, Date.now(), overlapMs));
    this.#known.delete(tenant);
    const info = await this.find(tenant);
    if (info === undefined || info.version !== version)
      throw gatewayError('MAYFLY_ERR_GATEWAY_CONFLICT', 'another request made a newer one meanwhile');
    return { secret: `whsec_${bytes.toString('base64')}`, info };
  }

  /** Nothing is signed for the tenant any more; harmless when there is none. */
  async remove(tenant: string): Promise<void> {
    await orUnavailable(this.#redis.del(keys.webhookSecret(tenant)));
    this.#known.delete(tenant);
  }

  async find(tenant: string): Promise<WebhookSecretInfo | undefined> {
    const fields = await this.#read(tenant);
    if (fields['sealed'] === undefined) return undefined;
    const previousUntilMs = previousUntil(fields);
    return {
      version: Number(fields['version']),
      createdAtMs: Number(fields['createdAtMs']),
      ...(previousUntilMs !== undefined && { previousUntilMs }),
    };
  }

  /** Whether callbacks of the tenant can be signed; from memory where it was looked up a moment ago. */
  async has(tenant: string): Promise<boolean> {
    this.#sealing();
    return (await this.#recent(tenant))['sealed'] !== undefined;
  }

  /**
   * Those that sign now, the newest first; none when the tenant has none.
   * @throws MAYFLY_ERR_SECRETS_KEY_UNKNOWN, MAYFLY_ERR_SECRETS_SEALED, MAYFLY_ERR_GATEWAY_NO_SECRETS
   */
  async signing(tenant: string): Promise<Buffer[]> {
    const fields = await this.#recent(tenant);
    const { sealed, version, previous, previousVersion } = fields;
    if (sealed === undefined) return [];
    const sealing = this.#sealing();
    const open = (text: string, number: string | undefined) =>
      sealing.open({ tenant, name: SEAL_NAME, version: Number(number) }, text);
    const isOverlapping = previous !== undefined && previousUntil(fields) !== undefined;
    return [open(sealed, version), ...(isOverlapping ? [open(previous, previousVersion)] : [])];
  }

  #sealing(): SecretKeys {
    if (this.#keys !== undefined) return this.#keys;
    throw gatewayError(
      'MAYFLY_ERR_GATEWAY_NO_SECRETS',
      'the gateway has no file of keys to seal secrets with',
    );
  }

  #recent(tenant: string): Promise<Fields> {
    const known = this.#known.get(tenant);
    if (known !== undefined && Date.now() - known.atMs < FRESH_MS) return known.fields;
    const fields = this.#read(tenant);
    this.#known.set(tenant, { fields, atMs: Date.now() });
    fields.then(
      // What is not there may be made on another gateway the next moment.
      (found) => found['sealed'] === undefined && this.#known.delete(tenant),
      () => this.#known.delete(tenant),
    );
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_TENANTS && oldest !== undefined) this.#known.delete(oldest);
    return fields;
  }

  #read(tenant: string): Promise<Fields> {
    return orUnavailable(this.#redis.hgetall(keys.webhookSecret(tenant)));
  }
}

function previousUntil({ previousUntilMs }: Fields): number | undefined {
  return previousUntilMs !== undefined && Number(previousUntilMs) > Date.now()
    ? Number(previousUntilMs)
    : undefined;
}
