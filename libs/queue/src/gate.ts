import { DEFAULT_QUOTAS, type TenantQuotas } from '@mayfly/contracts';
import type { Redis } from 'ioredis';
import { type CallClass, type CallId, letterOf } from './call-id.js';
import { defineScripts } from './commands.js';
import { ADMIT } from './lua/admit.js';
import { gateKey, heldKey, LEASES_KEY, WINDOW_KEY } from './lua/names.js';
import { CONFIGURE, CONFIGURE_FUNCTION, PUMP } from './lua/pump.js';

/** Limits in the order in which they are looked at. The last three are the platform's, the others the tenant's. */
export type LimitName =
  | 'ratePerS'
  | 'maxInFlight'
  | 'maxQueued'
  | 'maxQueuedBytes'
  | 'maxQueueDepth'
  | 'startWithinMs';

export interface Refusal {
  readonly limit: LimitName;
  readonly value: number;
  readonly current: number;
  /** After which a retry may succeed, at the present pace. */
  readonly retryAfterMs: number;
}

export interface CallToAdmit {
  readonly invocationId: string;
  readonly acceptedAtMs: number;
  /** The call as JSON of `InvocationItem`; what counts as its bytes. */
  readonly item: string;
}

/** Calls of one tenant and function that want in together. */
export interface Admittance {
  readonly class: CallClass;
  readonly tenant: string;
  readonly function: string;
  readonly quotas: Pick<TenantQuotas, 'ratePerS' | 'burst' | 'maxInFlight' | 'maxQueued' | 'maxQueuedBytes'>;
  /** Jobs of each class that may be with the workers at once. */
  readonly window: number;
  /** Calls that may wait in the class, of all tenants. */
  readonly maxQueueDepth: number;
  /** A call that would start later is refused now; 0: none is. */
  readonly startWithinMs: number;
  /** How long a call may hold its places, from its release: longer than it can take. */
  readonly leaseMs: number;
  /** Epoch milliseconds from which nobody wants the calls; 0: they do not expire. */
  readonly expiresAtMs: number;
  /** The JSON of `InvocationJob` but for its items: what stands before and after them. */
  readonly head: string;
  readonly tail: string;
  readonly calls: readonly CallToAdmit[];
}

/** The first `admitted` calls are in; the others were refused, and nothing of them is kept. */
export interface Admission {
  readonly admitted: number;
  /** BullMQ's job of the last call that went straight to the workers; empty when all wait. */
  readonly jobId: string;
  /** What the rate leaves: calls that may come in now, and when the whole burst is there again. */
  readonly remaining: number;
  readonly fullInMs: number;
  /** Calls of the class that wait in backlogs, of all tenants. */
  readonly waiting: number;
  readonly refusal?: Refusal;
}

export interface Pumped {
  readonly waiting: Readonly<Record<CallClass, number>>;
  /** Leases whose holders had died. */
  readonly healed: number;
  /** Epoch milliseconds (Redis's clock) of the next attempt that is to be queued. */
  readonly nextDueMs?: number;
}

/** What a tenant uses now. */
export interface InUse {
  readonly inFlight: number;
  readonly running: number;
  readonly queued: number;
  readonly queuedBytes: number;
}

/** What decides when calls of a tenant run. */
export interface GateSettings extends Pick<TenantQuotas, 'weight' | 'maxRunning'> {
  readonly isPaused: boolean;
}

/** The way in: admission, the fair gate, and what operators set of both. One round trip each. */
export class Gate {
  readonly #redis: Pick<Redis, 'defineCommand' | 'hmget' | 'sismember' | 'zmscore'>;
  readonly #scripts;

  constructor(redis: Pick<Redis, 'defineCommand' | 'hmget' | 'sismember' | 'zmscore'>) {
    this.#redis = redis;
    this.#scripts = defineScripts(redis, {
      admit: ADMIT,
      pump: PUMP,
      configure: CONFIGURE,
      configureFunction: CONFIGURE_FUNCTION,
    });
  }

  async admit(wanted: Admittance): Promise<Admission> {
    const { quotas, calls } = wanted;
    const args: (string | number)[] = [
      letterOf(wanted.class),
      ...[wanted.tenant, wanted.function, quotas.ratePerS, quotas.burst, quotas.maxInFlight],
      ...[quotas.maxQueued, quotas.maxQueuedBytes, wanted.window, wanted.maxQueueDepth],
      ...[wanted.startWithinMs, wanted.leaseMs, wanted.expiresAtMs, wanted.head, wanted.tail],
    ];
    for (const { invocationId, item, acceptedAtMs } of calls) args.push(invocationId, item, acceptedAtMs);
    return parseAdmission((await this.#scripts.admit(...args)) as (string | number)[]);
  }

  /** Lets go what may go: for what no call's coming or going does. @param window absent: as it is */
  async pump(window?: number): Promise<Pumped> {
    const [sync = 0, async_ = 0, healed = 0, due = ''] = (await this.#scripts.pump(window ?? '')) as (
      | number
      | string
    )[];
    return {
      waiting: { sync: Number(sync), async: Number(async_) },
      healed: Number(healed),
      ...(due !== '' && { nextDueMs: Number(due) }),
    };
  }

  async configure(tenant: string, settings: GateSettings): Promise<void> {
    const { weight, maxRunning, isPaused } = settings;
    await this.#scripts.configure(
      tenant,
      ...['weight', weight === DEFAULT_QUOTAS.weight ? '' : weight],
      ...['max', maxRunning === DEFAULT_QUOTAS.maxRunning ? '' : maxRunning],
      ...['paused', isPaused ? 1 : ''],
    );
  }

  /** @param concurrency as `FunctionSettings.concurrency` */
  async configureFunction(
    tenant: string,
    name: string,
    concurrency: { readonly max?: number; readonly reserved: number },
  ): Promise<void> {
    await this.#scripts.configureFunction(tenant, name, concurrency.max ?? '', concurrency.reserved);
  }

  async inUse(tenant: string): Promise<InUse> {
    const [inFlight, running, queued, queuedBytes] = await this.#redis.hmget(
      gateKey(tenant),
      ...['inf', 'run', 'qn', 'qb'],
    );
    return {
      inFlight: Number(inFlight ?? 0),
      running: Number(running ?? 0),
      queued: Number(queued ?? 0),
      queuedBytes: Number(queuedBytes ?? 0),
    };
  }

  /** Whether an async invocation waits here: in a backlog, or for its next attempt. */
  async holds(tenant: string, invocationId: string): Promise<boolean> {
    return (await this.#redis.sismember(heldKey(tenant), invocationId)) === 1;
  }

  /** Whether a call is with the workers: let go, and its places not given back. */
  async isReleased(call: CallId): Promise<boolean> {
    const rest = `${letterOf(call.class)} ${call.tenant} ${call.function} ${call.invocationId}`;
    const expiries = await this.#redis.zmscore(LEASES_KEY, `1${rest}`, `0${rest}`);
    return expiries.some((expiry) => expiry !== null);
  }

  /** Calls that wait in backlogs, by class, of all tenants. */
  async waiting(): Promise<Readonly<Record<CallClass, number>>> {
    const [sync, async_] = await this.#redis.hmget(WINDOW_KEY, 'queued:s', 'queued:a');
    return { sync: Number(sync ?? 0), async: Number(async_ ?? 0) };
  }
}

function parseAdmission(answer: readonly (string | number)[]): Admission {
  const [admitted = 0, jobId = '', remaining = 0, fullInMs = 0, waiting = 0, limit] = answer;
  const admission: Admission = {
    admitted: Number(admitted),
    jobId: String(jobId),
    remaining: Number(remaining),
    fullInMs: Number(fullInMs),
    waiting: Number(waiting),
  };
  if (limit === undefined) return admission;
  const [value = 0, current = 0, retryAfterMs = 0] = answer.slice(6).map(Number);
  return { ...admission, refusal: { limit: limit as LimitName, value, current, retryAfterMs } };
}
