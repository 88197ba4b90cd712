import type { InitFailure } from './guest-image.js';

const MAX_ENTRIES = 1024;

/** Versions whose initialisation failed, for a while: each try costs a slot up to the whole initialisation timeout. */
export class FailureCache {
  readonly #ttlMs: number;
  readonly #entries = new Map<string, { readonly failure: InitFailure; readonly untilMs: number }>();

  constructor(ttlMs: number) {
    this.#ttlMs = ttlMs;
  }

  get(key: string): InitFailure | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.untilMs > performance.now()) return entry.failure;
    this.#entries.delete(key);
    return undefined;
  }

  set(key: string, failure: InitFailure): void {
    if (this.#entries.size >= MAX_ENTRIES) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.set(key, { failure, untilMs: performance.now() + this.#ttlMs });
  }
}
