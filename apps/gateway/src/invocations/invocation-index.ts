import { isInvocationId, keys, LIMITS } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { orUnavailable } from '../redis.js';

/** A place in the list of a tenant's invocations, newest first. */
export interface Place {
  /** As Redis writes it: its digits are kept. */
  readonly score: string;
  readonly invocationId: string;
}

/** Which of the invocations are looked at: those accepted from `sinceMs` on and before `untilMs`. */
export interface Span {
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** A tenant's invocations by the time at which they were accepted. */
export class InvocationIndex {
  readonly #redis: Redis;

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /**
   * The next places of the list, at most `count` a time, below `after`. A place is named by what is there, not by a
   * number, so that what comes in meanwhile moves nothing.
   */
  async *read(
    tenant: string,
    { sinceMs, untilMs }: Span,
    { after, count }: { after: Place | undefined; count: number },
  ): AsyncGenerator<Place[]> {
    const lowest = Math.max(sinceMs, Date.now() - LIMITS.recordRetentionMs);
    let last = after;
    let offset = 0;
    for (;;) {
      const highest = last?.score ?? (untilMs === Number.POSITIVE_INFINITY ? '+inf' : `(${untilMs}`);
      const flat = await orUnavailable(
        this.#redis.zrevrangebyscore(
          keys.index(tenant),
          highest,
          lowest,
          'WITHSCORES',
          'LIMIT',
          offset,
          count,
        ),
      );
      const places = pairs(flat);
      const next = last === undefined ? places : places.filter((place) => isBelow(place, last as Place));
      if (next.length > 0) yield next;
      if (places.length < count) return;
      // Where a whole read has one and the same time, the next one begins behind it.
      const newest = next.at(-1) ?? last;
      offset = newest?.score === last?.score && last !== undefined ? offset + count : 0;
      last = newest;
    }
  }
}

export function encodeCursor({ score, invocationId }: Place): string {
  return Buffer.from(`${score} ${invocationId}`).toString('base64url');
}

/** @returns undefined for a text that is no cursor of ours. */
export function decodeCursor(text: string): Place | undefined {
  const [score = '', invocationId = '', ...rest] = Buffer.from(text, 'base64url')
    .toString('latin1')
    .split(' ');
  const isPlace =
    /^\d{1,16}(?:\.\d{1,17})?$/.test(score) && isInvocationId(invocationId) && rest.length === 0;
  return isPlace ? { score, invocationId } : undefined;
}

function isBelow(place: Place, other: Place): boolean {
  const difference = Number(place.score) - Number(other.score);
  return difference < 0 || (difference === 0 && place.invocationId < other.invocationId);
}

function pairs(flat: readonly string[]): Place[] {
  const places: Place[] = [];
  for (let index = 0; index + 1 < flat.length; index += 2)
    places.push({ invocationId: flat[index] as string, score: flat[index + 1] as string });
  return places;
}
