import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { gatewayError } from '../errors.js';
import { orUnavailable } from '../redis.js';
import type { QueueName } from './job-producer.js';

const LOOK_MS = 1_000;
const RETRY_AFTER_S = 5;
/** Of `maxmemory`, from which calls of a lane are refused: those that nobody waits for go first (platform 3.9). */
const SHED_FROM: Readonly<Record<QueueName, number>> = { async: 0.7, sync: 0.85 };

interface Sample {
  readonly usedBytes: number;
  /** 0: there is no limit. */
  readonly maxBytes: number;
  readonly policy: string;
}

/**
 * How full Redis is. It is the record of all that was accepted, and refuses writes when it is full, those that end
 * calls among them: so new calls are refused before that. Looked up once a second, held in memory.
 */
export class RedisMemory {
  readonly #redis: Redis;
  readonly #logger: Pick<Logger, 'warn' | 'info'>;
  #sample: Sample = { usedBytes: 0, maxBytes: 0, policy: '' };
  #timer: NodeJS.Timeout | undefined;
  #isShedding = false;

  constructor(redis: Redis, logger: Pick<Logger, 'warn' | 'info'>) {
    this.#redis = redis;
    this.#logger = logger;
  }

  /**
   * Resolves once it is known.
   * @throws MAYFLY_ERR_GATEWAY_CONFIG where Redis would drop jobs and records to make room
   */
  async start(): Promise<void> {
    await this.#look();
    const { policy, maxBytes } = this.#sample;
    if (policy !== 'noeviction')
      throw gatewayError(
        'MAYFLY_ERR_GATEWAY_CONFIG',
        `maxmemory-policy of Redis is ${policy || 'unknown'}; it has to be noeviction`,
      );
    if (maxBytes === 0)
      this.#logger.warn('maxmemory of Redis is not set: no load is shed before its host is out of memory');
    // A look that fails leaves what was known; that Redis is away shows elsewhere.
    this.#timer = setInterval(() => void this.#look().catch(() => undefined), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Of `maxmemory`; 0 where that is not set. */
  get share(): number {
    const { usedBytes, maxBytes } = this.#sample;
    return maxBytes === 0 ? 0 : usedBytes / maxBytes;
  }

  /** Whether calls of this lane are refused. */
  isTooFullFor(lane: QueueName): boolean {
    return this.share >= SHED_FROM[lane];
  }

  /** @throws MAYFLY_ERR_GATEWAY_SATURATED with the limit `redisMemory`, in bytes */
  check(lane: QueueName): void {
    if (!this.isTooFullFor(lane)) return;
    const { usedBytes, maxBytes } = this.#sample;
    const value = Math.floor(maxBytes * SHED_FROM[lane]);
    throw gatewayError('MAYFLY_ERR_GATEWAY_SATURATED', `Redis holds ${usedBytes} of ${maxBytes} bytes`, {
      details: {
        retryAfterS: RETRY_AFTER_S,
        limit: { name: 'redisMemory', value, current: usedBytes },
      },
    });
  }

  async #look(): Promise<void> {
    this.#sample = sampleOf(await orUnavailable(this.#redis.info('memory')));
    const isShedding = this.isTooFullFor('async');
    if (isShedding === this.#isShedding) return;
    this.#isShedding = isShedding;
    const fields = { ...this.#sample };
    if (isShedding) this.#logger.warn(fields, 'Redis is filling up: load is shed');
    else this.#logger.info(fields, 'Redis has room again');
  }
}

function sampleOf(info: string): Sample {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1] ?? '';
  // As Redis itself reckons: what it buffers for its clients and its file does not count.
  const usedBytes = Number(field('used_memory')) - Number(field('mem_not_counted_for_evict'));
  return { usedBytes, maxBytes: Number(field('maxmemory')), policy: field('maxmemory_policy') };
}
