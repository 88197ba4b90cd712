import {
  type AcceptedRecord,
  DEFAULT_SETTINGS,
  type FunctionSettings,
  type InvocationItem,
  jobVersionOf,
} from '@mayfly/contracts';
import type { DeadCall, DeadLetters, RedrivenLetter } from '@mayfly/queue';
import { conflict, notFound } from '../errors.js';
import { newInvocationId } from '../ids.js';
import { orUnavailable } from '../redis.js';
import type { FunctionRegistry } from '../registry/function-registry.js';
import type { StoredVersion } from '../registry/stored-version.js';
import type { SecretGrants } from '../secrets/secret-grants.js';
import type { GivenToGuest } from './call.js';
import { givenToGuest } from './given-to-guest.js';
import type { InvocationStore } from './invocation-store.js';

/** A call may be run twice, by a worker that is lost and by the next one, after the queue has noticed. */
const RUNS = 2;
const LEASE_MARGIN_MS = 60_000;

export interface RedriverDeps {
  readonly deadLetters: DeadLetters;
  readonly store: Pick<InvocationStore, 'findAll'>;
  readonly registry: FunctionRegistry;
  readonly secretGrants: SecretGrants;
}

export interface Redrive {
  readonly tenant: string;
  readonly name: string;
  readonly ids: readonly string[];
  /** Absent: each its own. */
  readonly version?: number | undefined;
  readonly ratePerSecond: number;
}

export interface Redriven {
  readonly from: string;
  readonly invocationId: string;
  readonly dueAtMs: number;
}

/** What all letters of one redrive share. */
interface Target {
  readonly tenant: string;
  readonly name: string;
  readonly settings: FunctionSettings;
  readonly given: GivenToGuest | undefined;
  readonly nowMs: number;
}

/**
 * Makes new invocations of dead letters, with the settings that the function has now. All that are asked for are queued
 * in one step, each at its time, so that nothing of a redrive is lost with the gateway that began it, and no letter is
 * redriven twice.
 */
export class Redriver {
  readonly #deps: RedriverDeps;

  constructor(deps: RedriverDeps) {
    this.#deps = deps;
  }

  /**
   * @returns those that were still there.
   * @throws MAYFLY_ERR_GATEWAY_NOT_FOUND without the function or the version; MAYFLY_ERR_GATEWAY_CONFLICT when a
   * version does not take a call: nothing is redriven then
   */
  async redrive({ tenant, name, ids, version, ratePerSecond }: Redrive): Promise<Redriven[]> {
    const { deadLetters, store, registry, secretGrants } = this.#deps;
    const stored = await registry.getFunction(tenant, name);
    if (stored === undefined) throw notFound(`function ${name}`);
    const { settings } = stored;
    const given = await givenToGuest(secretGrants, tenant, settings);
    const target: Target = { ...{ tenant, name, settings, given }, nowMs: Date.now() };
    const [calls, known] = await Promise.all([
      orUnavailable(deadLetters.calls(tenant, ids)),
      store.findAll(tenant, ids),
    ]);
    const letters: RedrivenLetter[] = [];
    for (const [index, deadId] of ids.entries()) {
      const call = calls[index];
      if (call === undefined || call.function.name !== name) continue;
      const wanted = version ?? call.function.version;
      const found = stored.versions.find((candidate) => candidate.version === wanted);
      if (found === undefined) throw notFound(`version ${wanted} of function ${name}`);
      const delayMs = Math.floor((letters.length * 1000) / ratePerSecond);
      letters.push(this.#letter(target, { deadId, call, accepted: known[index]?.accepted }, found, delayMs));
    }
    if (letters.length === 0) return [];
    const were = await orUnavailable(deadLetters.redrive(tenant, name, letters));
    return letters
      .filter((_, index) => were[index])
      .map(({ deadId, invocationId, delayMs }) => ({
        ...{ from: deadId, invocationId },
        dueAtMs: target.nowMs + delayMs,
      }));
  }

  #letter(
    { tenant, name, settings, given, nowMs }: Target,
    dead: { deadId: string; call: DeadCall; accepted: AcceptedRecord | undefined },
    version: StoredVersion,
    delayMs: number,
  ): RedrivenLetter {
    const { deadId, call, accepted } = dead;
    const { entrypoint, input, timeoutMs } = call.item;
    const returns = returnsOf(call.item, version);
    const ref = this.#deps.registry.refOf(tenant, name, version);
    const invocationId = newInvocationId(nowMs);
    const item: InvocationItem = {
      ...{ invocationId, entrypoint, input, returns, timeoutMs },
      // It grows old from its time on: a slow redrive does not let its last calls expire.
      acceptedAtMs: nowMs + delayMs,
      ...(settings.retry !== DEFAULT_SETTINGS.retry && { retry: settings.retry }),
      ...given,
    };
    const record: AcceptedRecord = {
      ...{ v: 1, invocationId, tenant, function: name, version: version.version, entrypoint, returns },
      raw: accepted?.raw ?? false,
      ...(accepted?.contentType !== undefined && { contentType: accepted.contentType }),
      acceptedAtMs: nowMs,
      origin: deadId,
    };
    return {
      ...{ deadId, invocationId, acceptedAtMs: nowMs, delayMs },
      accepted: JSON.stringify(record),
      leaseMs: RUNS * timeoutMs + LEASE_MARGIN_MS,
      head: `{"v":${jobVersionOf(ref)},"function":${JSON.stringify(ref)},"items":[`,
      tail: ']}',
      item: JSON.stringify(item),
    };
  }
}

/** What the version's entrypoint returns. @throws MAYFLY_ERR_GATEWAY_CONFLICT when it does not take the call */
function returnsOf(item: InvocationItem, { version, manifest }: StoredVersion): InvocationItem['returns'] {
  const { entrypoint, input, returns } = item;
  const signature = manifest?.entrypoints?.[entrypoint];
  // A version without signatures takes what its callers say.
  if (manifest?.entrypoints === undefined || Object.keys(manifest.entrypoints).length === 0) return returns;
  if (signature === undefined) throw conflict(`version ${version} has no entrypoint ${entrypoint}`);
  const types =
    input.kind === 'args'
      ? input.args.map(({ type }) => type)
      : input.kind === 'body'
        ? [input.as]
        : input.of === 'args'
          ? undefined
          : [input.of];
  if (types !== undefined && types.join() !== signature.params.join())
    throw conflict(`${entrypoint} of version ${version} takes (${signature.params.join(', ')})`);
  return signature.returns;
}
