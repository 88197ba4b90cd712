import {
  type Isolation,
  isIsolation,
  isKvmKind,
  type KvmKind,
  keys,
  WORKER_ALIVE_MS,
} from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { orUnavailable } from '../redis.js';

/** A worker that takes calls, as its last heartbeat describes it. */
export interface Host {
  readonly workerId: string;
  readonly hostName: string;
  readonly kvm: KvmKind;
  readonly isolation: Isolation;
  readonly slots: number;
  /** Calls that run or wait at the slots. */
  readonly callsInFlight: number;
  readonly startedAtMs: number;
  /** Whether it says which versions it has prepared; an older release does not. */
  readonly reportsReadiness: boolean;
  readonly lastSeenAtMs: number;
}

/** The workers that live. */
export class Hosts {
  readonly #redis: Redis;
  readonly #onUnreadable: (workerId: string) => void;

  /** @param onUnreadable a worker that lives and does not say what it is: it is left out. */
  constructor(redis: Redis, onUnreadable: (workerId: string) => void) {
    this.#redis = redis;
    this.#onUnreadable = onUnreadable;
  }

  /** By worker id. @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE */
  async live(): Promise<Host[]> {
    const since = Date.now() - WORKER_ALIVE_MS;
    const beats = await orUnavailable(
      this.#redis.zrange(keys.workers, since, '+inf', 'BYSCORE', 'WITHSCORES'),
    );
    const seen = new Map<string, number>();
    for (let i = 0; i + 1 < beats.length; i += 2) seen.set(String(beats[i]), Number(beats[i + 1]));
    const hosts = await Promise.all([...seen].map(([id, atMs]) => this.#read(id, atMs)));
    return hosts.filter((host) => host !== undefined).sort((a, b) => (a.workerId < b.workerId ? -1 : 1));
  }

  async #read(workerId: string, lastSeenAtMs: number): Promise<Host | undefined> {
    const fields = await orUnavailable(this.#redis.hgetall(keys.worker(workerId)));
    // It has left since its beat was read.
    if (Object.keys(fields).length === 0) return undefined;
    const host = parseHost(workerId, fields, lastSeenAtMs);
    if (host === undefined) this.#onUnreadable(workerId);
    return host;
  }
}

function parseHost(
  workerId: string,
  fields: Readonly<Record<string, string>>,
  lastSeenAtMs: number,
): Host | undefined {
  const { hostName, kvm, isolation } = fields;
  const slots = count(fields['slots']);
  const callsInFlight = count(fields['callsInFlight']);
  const startedAtMs = count(fields['startedAtMs']);
  if (hostName === undefined || !isKvmKind(kvm) || !isIsolation(isolation)) return undefined;
  if (slots === undefined || callsInFlight === undefined || startedAtMs === undefined) return undefined;
  const reportsReadiness = fields['reportsReadiness'] === '1';
  return {
    ...{ workerId, hostName, kvm, isolation, slots, callsInFlight, startedAtMs, reportsReadiness },
    lastSeenAtMs,
  };
}

function count(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
