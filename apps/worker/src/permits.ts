export type Lane = 'sync' | 'async';

/** Grants in a row that sync calls get while async ones wait: callers go first, background work never starves. */
const SYNC_GRANTS_IN_A_ROW = 8;

/**
 * The host's permits to have a call in flight, shared by every lane. First come, first served within a lane.
 */
export class Permits {
  readonly capacity: number;
  #free: number;
  #syncInARow = 0;
  readonly #waiting: Record<Lane, Queue<() => void>> = { sync: new Queue(), async: new Queue() };

  constructor(capacity: number) {
    this.capacity = capacity;
    this.#free = capacity;
  }

  get inUse(): number {
    return this.capacity - this.#free;
  }

  get waiting(): number {
    return this.#waiting.sync.length + this.#waiting.async.length;
  }

  /** Takes a permit; undefined when it is there at once, so that the common case does not wait a turn. */
  acquire(lane: Lane): Promise<void> | undefined {
    if (this.#free > 0) {
      this.#free -= 1;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting[lane].push(resolve));
  }

  release(): void {
    const next = this.#next();
    if (next) next();
    else this.#free += 1;
  }

  #next(): (() => void) | undefined {
    const { sync, async } = this.#waiting;
    const asyncFirst = async.length > 0 && (sync.length === 0 || this.#syncInARow >= SYNC_GRANTS_IN_A_ROW);
    this.#syncInARow = asyncFirst ? 0 : this.#syncInARow + 1;
    return asyncFirst ? async.shift() : sync.shift();
  }
}

/** First in, first out, without moving the rest on each take. */
class Queue<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head += 1;
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
    } else if (this.#head >= 1024) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
