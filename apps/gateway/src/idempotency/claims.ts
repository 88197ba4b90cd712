import { LIMITS } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { orUnavailable } from '../redis.js';
import type { OnceRequest } from './idempotency-key.js';

/** What is remembered of a request that came with an `Idempotency-Key`. */
export interface Claim {
  readonly fingerprint: string;
  /** What the request made: an invocation, whose record says what became of it; for other requests a mark. */
  readonly id: string;
  /** Epoch milliseconds from which a request that left nothing behind is known to have died with its gateway. */
  readonly untilMs: number;
  /** The answer, of a request that made no invocation and has ended. */
  readonly answer?: StoredAnswer;
}

export interface StoredAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** KEYS key. ARGV what stands there, what shall stand there (empty: nothing), its life. @returns 1 if it stood there. */
const REPLACE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`;

/** Who carries a request out: the first one that comes with its key. */
export class Claims {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** @returns undefined when the claim is taken, else the one that stands. */
  async take({ redisKey }: OnceRequest, claim: Claim): Promise<Claim | undefined> {
    const text = await orUnavailable(
      this.#redis.set(redisKey, JSON.stringify(claim), 'PX', LIMITS.idempotencyMs, 'NX', 'GET'),
    );
    return text === null ? undefined : (JSON.parse(text) as Claim);
  }

  /** Of several that want to take over, one does. @returns whether this one. */
  replace({ redisKey }: OnceRequest, standing: Claim, claim: Claim): Promise<boolean> {
    return this.#replace(redisKey, standing, JSON.stringify(claim));
  }

  /** The next request with this key is a first one again. */
  async release({ redisKey }: OnceRequest, claim: Claim): Promise<void> {
    await this.#replace(redisKey, claim, '');
  }

  async #replace(redisKey: string, standing: Claim, text: string): Promise<boolean> {
    const life = LIMITS.idempotencyMs;
    const done = this.#redis.eval(REPLACE, 1, redisKey, JSON.stringify(standing), text, life);
    return (await orUnavailable(done)) === 1;
  }
}
