const BUCKETS = 1 << 10;

/**
 * Values by reply token, for calls that come and go by the thousand a second.
 *
 * DESIGN: not a Map. A Map that is added to and deleted from makes a new table every few calls, and each table refers
 * to the next one; once one of them is old, all that follow, with every call that they held, live until the next full
 * collection of garbage. Tokens are random already, so their first digits choose the bucket.
 */
export class TokenTable<T extends { readonly token: string }> {
  readonly #buckets: T[][] = Array.from({ length: BUCKETS }, () => []);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(value: T): void {
    this.#bucket(value.token).push(value);
    this.#size += 1;
  }

  find(token: string): T | undefined {
    for (const value of this.#bucket(token)) if (value.token === token) return value;
    return undefined;
  }

  /** @returns what was taken out. */
  remove(token: string): T | undefined {
    const bucket = this.#bucket(token);
    const index = bucket.findIndex((value) => value.token === token);
    const found = bucket[index];
    const last = bucket.at(-1);
    if (found === undefined || last === undefined) return undefined;
    bucket[index] = last;
    bucket.pop();
    this.#size -= 1;
    return found;
  }

  first(test: (value: T) => boolean): T | undefined {
    for (const bucket of this.#buckets) for (const value of bucket) if (test(value)) return value;
    return undefined;
  }

  values(): T[] {
    return this.#buckets.flat();
  }

  /** A token is 32 hex digits; any other text has a bucket, too, and is not found there. */
  #bucket(token: string): T[] {
    const hash = (digit(token, 0) << 8) ^ (digit(token, 1) << 4) ^ digit(token, 2);
    return this.#buckets[hash & (BUCKETS - 1)] as T[];
  }
}

function digit(token: string, index: number): number {
  const code = token.charCodeAt(index);
  return code <= 0x39 ? code - 0x30 : code - 0x57;
}
