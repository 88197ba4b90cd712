import type { FunctionRegistry } from './function-registry.js';
import type { StoredFunction } from './stored-function.js';

/** Backstop for an announcement that got lost: after this a function is read again. */
const FRESH_MS = 5_000;
const MAX_ENTRIES = 10_000;

interface Entry {
  readonly loading: Promise<StoredFunction | undefined>;
  readonly loadedAtMs: number;
  /** Set once loaded, so that the hot path needs no await. */
  loaded?: StoredFunction;
}

/** The functions that are being called, in memory; the registry's announcements keep them fresh. */
export class FunctionCache {
  readonly #registry: FunctionRegistry;
  readonly #entries = new Map<string, Entry>();

  constructor(registry: FunctionRegistry) {
    this.#registry = registry;
  }

  /** The function if it is in memory and fresh. */
  peek(tenant: string, name: string): StoredFunction | undefined {
    const entry = this.#entries.get(keyOf(tenant, name));
    return entry !== undefined && Date.now() - entry.loadedAtMs < FRESH_MS ? entry.loaded : undefined;
  }

  /** The function, from memory or from Redis. Absence is not remembered. */
  async get(tenant: string, name: string): Promise<StoredFunction | undefined> {
    const key = keyOf(tenant, name);
    const known = this.#entries.get(key);
    if (known !== undefined && Date.now() - known.loadedAtMs < FRESH_MS) return known.loading;
    const entry: Entry = { loading: this.#registry.getFunction(tenant, name), loadedAtMs: Date.now() };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    this.#evict();
    try {
      const found = await entry.loading;
      if (found === undefined) this.#forget(key, entry);
      else entry.loaded = found;
      return found;
    } catch (error) {
      this.#forget(key, entry);
      throw error;
    }
  }

  /** @param olderThanMs leaves what was read since. @defaultValue 0 */
  forget(tenant: string, name: string, olderThanMs = 0): void {
    const key = keyOf(tenant, name);
    const entry = this.#entries.get(key);
    if (entry !== undefined && Date.now() - entry.loadedAtMs >= olderThanMs) this.#entries.delete(key);
  }

  /** After a lost connection announcements may have been missed. */
  clear(): void {
    this.#entries.clear();
  }

  #forget(key: string, entry: Entry): void {
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
  }

  #evict(): void {
    if (this.#entries.size <= MAX_ENTRIES) return;
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.#entries.delete(oldest);
  }
}

const keyOf = (tenant: string, name: string): string => `${tenant} ${name}`;
