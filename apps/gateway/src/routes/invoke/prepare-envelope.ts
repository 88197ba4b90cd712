import type { FastifyRequest } from 'fastify';
import { type Call, storeResultOf } from '../../invocations/call.js';
import { checkMemory, timeoutOf } from '../../invocations/call-limits.js';
import { qualifierOf, readEnvelope } from '../../invocations/envelope.js';
import { givenToGuest } from '../../invocations/given-to-guest.js';
import { inputOfArguments } from '../../invocations/input.js';
import type { Qualifier } from '../../invocations/qualifier.js';
import type { ResolvedVersion } from '../../invocations/resolve-version.js';
import type { InvokeBody } from '../../schemas/invoke.js';
import type { Services } from '../../services.js';

export interface EnvelopeRequest extends Pick<FastifyRequest, 'tenant' | 'headers'> {
  /** Absent: the call is not traced. */
  readonly trace?: Call['trace'];
  readonly body: InvokeBody;
  /** Bounds the size of its arguments. */
  readonly bodyBytes: number;
  /** Whether the call outlives its connection. */
  readonly durable: boolean;
  /** Of a client that may go while the call waits for its version. */
  readonly signalOf?: () => AbortSignal;
}

export interface PreparedEnvelope {
  readonly call: Call;
  readonly qualifier: Qualifier;
  readonly settings: ResolvedVersion['settings'];
}

/**
 * The call that an envelope asks for, checked and ready to be queued.
 * @throws MAYFLY_ERR_GATEWAY_NOT_FOUND, …_INVALID_REQUEST, …_TOO_LARGE, …_QUOTA, …_NOT_ROUTABLE
 */
export async function prepareEnvelope(
  services: Services,
  { tenant, headers, trace, body, bodyBytes, durable, signalOf }: EnvelopeRequest,
): Promise<PreparedEnvelope> {
  const { resolver, blobs, policies, registry, secretGrants, callbacks } = services;
  const name = body.function;
  const qualifier = qualifierOf(body);
  const wanted = { tenant, name, ...qualifier, headers };
  const resolved = await (durable ? resolver.resolve(wanted) : resolver.resolveRoutable(wanted, signalOf));
  const { version, alias, settings } = resolved;
  const { quotas } = policies.of(tenant);
  const { entrypoint, args, returns } = readEnvelope(body, version.manifest);
  const timeoutMs = timeoutOf(resolved, quotas, body.timeoutMs, '/timeoutMs');
  checkMemory(resolved, quotas);
  const callback = await callbacks.read(headers, tenant, durable);
  const prepared = await inputOfArguments(args, bodyBytes, { tenant, blobs, durable });
  const given = givenToGuest(secretGrants, tenant, settings);
  const call: Call = {
    ref: registry.refOf(tenant, name, version),
    alias,
    entrypoint,
    ...prepared,
    returns,
    timeoutMs,
    shape: { raw: false },
    callback,
    ...storeResultOf(settings),
    given: given instanceof Promise ? await given : given,
    retry: settings.retry,
    trace,
  };
  return { call, qualifier, settings };
}
