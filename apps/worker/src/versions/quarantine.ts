import {
  type FunctionRef,
  type HostDeath,
  keys,
  parseQuarantine,
  versionKey,
  WORKER_ALIVE_MS,
} from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { workerError } from '../errors.js';
import type { Flights } from './flights.js';
import { verdicts } from './verdict.js';

const TICK_MS = 1_000;
/** A longer time between two ticks is a stall, of this process or of Redis: others may have stalled as long. */
const GAP_MS = 3_000;

/**
 * KEYS flying, deaths, prefix of flights. ARGV worker id, '1' to judge others, '1' to judge who had this id before,
 * milliseconds after which one is dead. @returns {now, then all deaths if there was another}.
 */
const TICK = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local dead = {}
if ARGV[3] == '1' then dead[1] = ARGV[1] end
if ARGV[2] == '1' then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[4])) do
    if id ~= ARGV[1] then dead[#dead + 1] = id end
  end
end
local died = false
for _, id in ipairs(dead) do
  local versions = redis.call('HKEYS', KEYS[3] .. id)
  redis.call('DEL', KEYS[3] .. id)
  redis.call('ZREM', KEYS[1], id)
  if #versions > 0 then
    died = true
    redis.call('RPUSH', KEYS[2], cjson.encode({ atMs = now, workerId = id, versions = versions }))
  end
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
if not died then return {now} end
redis.call('LTRIM', KEYS[2], -200, -1)
redis.call('PEXPIRE', KEYS[2], 3600000)
return {now, unpack(redis.call('LRANGE', KEYS[2], 0, -1))}`;

export interface QuarantineOptions {
  readonly redis: Redis;
  readonly workerId: string;
  readonly flights: Flights;
  /** Deaths that stop a version. */
  readonly deaths: number;
  /** A worker that has not ticked for so long is dead. @defaultValue WORKER_ALIVE_MS */
  readonly deadAfterMs?: number;
  readonly onQuarantine: (version: string, workerIds: readonly string[]) => void;
  readonly onError: (error: unknown) => void;
}

/** Notices workers that died, stops the versions they died of, and knows which ones are stopped. */
export class QuarantineWatch {
  readonly #options: QuarantineOptions;
  #stopped: ReadonlySet<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  /** Since when this process has ticked without a gap. */
  #steadySince = Number.POSITIVE_INFINITY;
  #lastTick = Number.NEGATIVE_INFINITY;

  constructor(options: QuarantineOptions) {
    this.#options = options;
  }

  /** Resolves once it is known what is stopped, and what whoever had this worker's id died of. */
  async start(): Promise<void> {
    await this.#tick(true);
    this.#timer = setInterval(() => {
      if (this.#options.redis.status === 'ready') this.#tick(false).catch(this.#options.onError);
    }, TICK_MS);
  }

  /** An end that is none of a version's doing. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const { redis, workerId } = this.#options;
    if (redis.status !== 'ready') return;
    await redis.multi().zrem(keys.flying, workerId).del(keys.flights(workerId)).exec();
  }

  /** @throws MAYFLY_ERR_VERSION_QUARANTINED */
  check(ref: FunctionRef): void {
    if (this.#stopped.size === 0 || !this.#stopped.has(versionKey(ref))) return;
    throw workerError('MAYFLY_ERR_VERSION_QUARANTINED', `hosts died of ${versionKey(ref)}`);
  }

  async #tick(first: boolean): Promise<void> {
    const { redis, workerId, flights, deadAfterMs = WORKER_ALIVE_MS } = this.#options;
    const now = performance.now();
    if (now - this.#lastTick > GAP_MS) {
      this.#steadySince = now;
      if (!first) flights.noteAgain();
    }
    this.#lastTick = now;
    flights.sweep();
    const mayJudge = now - this.#steadySince >= deadAfterMs;
    const [atMs, ...deaths] = (await redis.eval(
      ...([TICK, 3, keys.flying, keys.deaths, keys.flights('')] as const),
      ...[workerId, mayJudge ? '1' : '0', first ? '1' : '0', String(deadAfterMs)],
    )) as [number, ...string[]];
    const [found, lifted] = await Promise.all([redis.hgetall(keys.quarantined), redis.hgetall(keys.lifted)]);
    const liftedAtMs = new Map(Object.entries(lifted).map(([version, at]) => [version, Number(at)]));
    if (deaths.length > 0) await this.#judge(deaths, atMs, liftedAtMs, found);
    await this.#learn(found, liftedAtMs);
  }

  async #judge(
    texts: readonly string[],
    nowMs: number,
    liftedAtMs: ReadonlyMap<string, number>,
    found: Record<string, string>,
  ): Promise<void> {
    const { redis, deaths, onQuarantine } = this.#options;
    const known = texts.map((text) => JSON.parse(text) as HostDeath);
    for (const [version, quarantine] of verdicts(known, { deaths, nowMs, liftedAtMs })) {
      const text = JSON.stringify(quarantine);
      if ((await redis.hsetnx(keys.quarantined, version, text)) === 0) continue;
      found[version] = text;
      onQuarantine(version, quarantine.workerIds);
    }
  }

  async #learn(
    found: Readonly<Record<string, string>>,
    liftedAtMs: ReadonlyMap<string, number>,
  ): Promise<void> {
    const holds = ([version, text]: [string, string]) =>
      (parseQuarantine(text)?.atMs ?? 0) > (liftedAtMs.get(version) ?? 0);
    const entries = Object.entries(found);
    const over = entries.filter((entry) => !holds(entry)).map(([version]) => version);
    this.#stopped = new Set(entries.filter(holds).map(([version]) => version));
    if (over.length > 0) await this.#options.redis.hdel(keys.quarantined, ...over);
  }
}
