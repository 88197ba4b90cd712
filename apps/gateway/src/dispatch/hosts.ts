import {
  type HostOrder,
  type HostState,
  type Isolation,
  isHostOrder,
  isHostState,
  isIsolation,
  isKvmKind,
  type KvmKind,
  keys,
  WORKER_ALIVE_MS,
} from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { orUnavailable } from '../redis.js';

/** A worker, as its last heartbeat describes it. */
export interface Host {
  readonly workerId: string;
  readonly hostName: string;
  readonly state: HostState;
  /** What its operators want of it; absent: that it takes calls. */
  readonly order?: HostOrder;
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

/** The workers: those that live and, for a while, those that went without a word. */
export class Hosts {
  readonly #redis: Redis;
  readonly #onUnreadable: (workerId: string) => void;

  /** @param onUnreadable a worker that does not say what it is: it is left out. */
  constructor(redis: Redis, onUnreadable: (workerId: string) => void) {
    this.#redis = redis;
    this.#onUnreadable = onUnreadable;
  }

  /** All that are known, by worker id. @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE */
  async all(): Promise<Host[]> {
    // Workers of the first releases are in the list of those that take calls alone.
    const [time, seen, taking] = await this.#ask<[[string, string], string[], string[]]>((pipeline) =>
      pipeline
        .time()
        .zrange(keys.seenWorkers, '0', '-1', 'WITHSCORES')
        .zrange(keys.workers, '0', '-1', 'WITHSCORES'),
    );
    const nowMs = epochMs(time);
    const beats = new Map([...pairs(taking), ...pairs(seen)]);
    const hosts = await Promise.all([...beats].map(([id, atMs]) => this.#read(id, atMs, nowMs)));
    return hosts.filter((host) => host !== undefined).sort((a, b) => (a.workerId < b.workerId ? -1 : 1));
  }

  /** Those that take calls. @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE */
  async live(): Promise<Host[]> {
    return (await this.all()).filter(({ state }) => state === 'active');
  }

  /** How many take calls. @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE */
  async countLive(): Promise<number> {
    // By the clock of Redis, as the heartbeats are.
    const since = epochMs(await orUnavailable(this.#redis.time())) - WORKER_ALIVE_MS;
    return await orUnavailable(this.#redis.zcount(keys.workers, since, '+inf'));
  }

  /** @returns undefined for a worker that nobody has heard of. @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE */
  async find(workerId: string): Promise<Host | undefined> {
    return (await this.all()).find((host) => host.workerId === workerId);
  }

  /** Says what is wanted of a worker, which hears it with its next heartbeat. @throws MAYFLY_ERR_GATEWAY_UNAVAILABLE */
  async order(workerId: string, order: HostOrder | undefined): Promise<void> {
    await orUnavailable(
      order === undefined
        ? this.#redis.hdel(keys.hostOrders, workerId)
        : this.#redis.hset(keys.hostOrders, workerId, order),
    );
  }

  async #read(workerId: string, lastSeenAtMs: number, nowMs: number): Promise<Host | undefined> {
    const [fields, order] = await this.#ask<[Record<string, string>, string | null]>((pipeline) =>
      pipeline.hgetall(keys.worker(workerId)).hget(keys.hostOrders, workerId),
    );
    // It has left since its beat was read.
    if (Object.keys(fields).length === 0) return undefined;
    const host = parseHost(workerId, fields, lastSeenAtMs);
    if (host === undefined) {
      this.#onUnreadable(workerId);
      return undefined;
    }
    const isDead = lastSeenAtMs < nowMs - WORKER_ALIVE_MS;
    return { ...host, ...(isDead && { state: 'dead' }), ...(isHostOrder(order) && { order }) };
  }

  async #ask<T extends unknown[]>(
    fill: (pipeline: ReturnType<Redis['pipeline']>) => ReturnType<Redis['pipeline']>,
  ): Promise<T> {
    const answers = (await orUnavailable(fill(this.#redis.pipeline()).exec())) ?? [];
    for (const [error] of answers) if (error) await orUnavailable(Promise.reject(error));
    return answers.map(([, value]) => value) as T;
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
  const state = fields['state'] ?? (fields['draining'] === '1' ? 'leaving' : 'active');
  if (hostName === undefined || !isKvmKind(kvm) || !isIsolation(isolation) || !isHostState(state))
    return undefined;
  if (slots === undefined || callsInFlight === undefined || startedAtMs === undefined) return undefined;
  const reportsReadiness = fields['reportsReadiness'] === '1';
  return {
    ...{ workerId, hostName, state, kvm, isolation, slots, callsInFlight, startedAtMs, reportsReadiness },
    lastSeenAtMs,
  };
}

function count(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function epochMs([seconds, microseconds]: readonly (string | number)[]): number {
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
}

function pairs(flat: readonly string[]): [string, number][] {
  const result: [string, number][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) result.push([String(flat[i]), Number(flat[i + 1])]);
  return result;
}
