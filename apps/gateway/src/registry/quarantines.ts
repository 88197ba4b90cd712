import { keys, parseQuarantine, parseVersionKey, type Quarantine, versionKey } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import type { AuditLog } from '../audit/audit-log.js';
import { orUnavailable } from '../redis.js';

const LOOK_EVERY_MS = 1_000;

export interface QuarantinedVersion extends Quarantine {
  readonly tenant: string;
  readonly name: string;
  readonly version: number;
}

export interface QuarantinesDeps {
  readonly redis: Redis;
  readonly audit: AuditLog;
  readonly onError: (error: unknown) => void;
}

/**
 * The versions that workers stopped since hosts died of them, in memory: calls of them are refused. Workers decide;
 * gateways put it on record and lift it for operators.
 */
export class Quarantines {
  readonly #deps: QuarantinesDeps;
  #known = new Map<string, QuarantinedVersion>();
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: QuarantinesDeps) {
    this.#deps = deps;
  }

  async start(): Promise<void> {
    await this.look();
    this.#timer = setInterval(() => {
      this.look().catch(this.#deps.onError);
    }, LOOK_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  find(tenant: string, name: string, version: number): QuarantinedVersion | undefined {
    return this.#known.size === 0 ? undefined : this.#known.get(versionKey({ tenant, name, version }));
  }

  list(): QuarantinedVersion[] {
    return [...this.#known.values()].sort((a, b) => a.atMs - b.atMs);
  }

  async look(): Promise<void> {
    const { redis } = this.#deps;
    const [found, lifted] = await orUnavailable(
      Promise.all([redis.hgetall(keys.quarantined), redis.hgetall(keys.lifted)]),
    );
    const known = new Map<string, QuarantinedVersion>();
    for (const [key, text] of Object.entries(found)) {
      const quarantine = parseQuarantine(text);
      const id = parseVersionKey(key);
      if (quarantine === undefined || id === undefined) continue;
      if (quarantine.atMs > Number(lifted[key] ?? 0)) known.set(key, { ...id, ...quarantine });
    }
    const before = this.#known;
    this.#known = known;
    for (const [key, quarantine] of known) if (!before.has(key)) await this.#record(key, quarantine);
  }

  /** Lets workers run the version again; deaths before this count no more. */
  async lift(quarantined: QuarantinedVersion): Promise<void> {
    const { redis } = this.#deps;
    const key = versionKey(quarantined);
    // By the clock that the deaths go by.
    const [seconds, micros] = await orUnavailable(redis.time());
    const atMs = Number(seconds) * 1000 + Math.ceil(Number(micros) / 1000);
    await orUnavailable(redis.multi().hset(keys.lifted, key, atMs).hdel(keys.quarantineNoted, key).exec());
    this.#known.delete(key);
  }

  /** Of all gateways that see it, one puts it on record. */
  async #record(key: string, { tenant, name, version, ...after }: QuarantinedVersion): Promise<void> {
    const { redis, audit } = this.#deps;
    if ((await orUnavailable(redis.hsetnx(keys.quarantineNoted, key, after.atMs))) === 0) return;
    const target = `${name}@${version}`;
    await audit.record('quarantine', { action: 'version.quarantine', tenant, target, after });
  }
}
