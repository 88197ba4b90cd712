import { isMayflyError, keys } from '@mayfly/contracts';
import type { SecretKeys, SecretPlace } from '@mayfly/secrets';
import type { Redis } from 'ioredis';
import { workerError } from '../errors.js';

/** How long an opened secret is kept for the next call; a deleted one is handed out no longer than that. */
const KEPT_MS = 10_000;
const MAX_KEPT = 512;

export interface GrantedSecretsOptions {
  readonly redis: Pick<Redis, 'hget'>;
  /** Absent: this worker opens none. */
  readonly keys: SecretKeys | undefined;
  /** Why a secret that was granted could not be read; its text is not in there. */
  readonly onError: (error: unknown, place: SecretPlace) => void;
}

/**
 * Secrets that calls were granted, opened. A version never changes, so that it can be kept for a moment: a warm call
 * gets its secret without a round trip. What is dropped is overwritten.
 */
export class GrantedSecrets {
  readonly #options: GrantedSecretsOptions;
  readonly #kept = new Map<string, { readonly bytes: Buffer; readonly timer: NodeJS.Timeout }>();
  readonly #loading = new Map<string, Promise<Buffer>>();

  constructor(options: GrantedSecretsOptions) {
    this.#options = options;
  }

  /**
   * A copy, at once where the secret is at hand.
   * @throws MAYFLY_ERR_GUEST_REQUEST when it was deleted, MAYFLY_ERR_SECRET_UNREADABLE; in words for the guest
   */
  read(place: SecretPlace): Buffer | Promise<Buffer> {
    const key = `${place.tenant} ${place.name} ${place.version}`;
    const kept = this.#kept.get(key);
    return kept === undefined ? this.#load(key, place).then(copyOf) : copyOf(kept.bytes);
  }

  close(): void {
    for (const key of [...this.#kept.keys()]) this.#drop(key);
  }

  #load(key: string, place: SecretPlace): Promise<Buffer> {
    const running = this.#loading.get(key);
    if (running) return running;
    const loading = this.#open(place).finally(() => this.#loading.delete(key));
    this.#loading.set(key, loading);
    return loading.then((bytes) => {
      this.#keep(key, bytes);
      return bytes;
    });
  }

  async #open(place: SecretPlace): Promise<Buffer> {
    const { redis, keys: secretKeys, onError } = this.#options;
    const { tenant, name, version } = place;
    try {
      const sealed = await redis.hget(keys.secret(tenant, name), `v${version}`);
      if (sealed === null)
        throw workerError('MAYFLY_ERR_GUEST_REQUEST', `version ${version} of the secret ${name} was deleted`);
      if (secretKeys === undefined)
        throw workerError('MAYFLY_ERR_SECRET_UNREADABLE', 'the worker has no file of keys');
      return secretKeys.open(place, sealed);
    } catch (error) {
      if (isMayflyError(error, 'MAYFLY_ERR_GUEST_REQUEST')) throw error;
      onError(error, place);
      throw workerError('MAYFLY_ERR_SECRET_UNREADABLE', `the secret ${name} cannot be read`, {
        cause: error,
      });
    }
  }

  #keep(key: string, bytes: Buffer): void {
    this.#drop(key);
    const timer = setTimeout(() => this.#drop(key), KEPT_MS);
    timer.unref();
    this.#kept.set(key, { bytes, timer });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.#drop(oldest);
  }

  #drop(key: string): void {
    const kept = this.#kept.get(key);
    if (kept === undefined) return;
    clearTimeout(kept.timer);
    kept.bytes.fill(0);
    this.#kept.delete(key);
  }
}

const copyOf = (bytes: Buffer): Buffer => Buffer.from(bytes);
