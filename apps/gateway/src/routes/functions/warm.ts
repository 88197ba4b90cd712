import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { gatewayError, invalidRequest, notFound } from '../../errors.js';
import { type WarmHost, warmUp } from '../../registry/warm-up.js';
import { FunctionName, problems, Strict, VersionNumber, VersionParams, Words } from '../../schemas/shared.js';
import type { Services } from '../../services.js';

const DEFAULT_WAIT_MS = 10_000;
const MAX_WAIT_MS = 30_000;

const WarmQuery = Strict({
  waitMs: Type.Optional(
    Type.String({
      pattern: '^[1-9][0-9]{0,4}$',
      description: `1 to ${MAX_WAIT_MS}; ${DEFAULT_WAIT_MS} when absent`,
    }),
  ),
});
const WarmAnswer = Type.Object({
  function: FunctionName,
  version: VersionNumber,
  hosts: Type.Array(
    Type.Object({
      workerId: Type.String(),
      state: Words(['ready', 'failed', 'unavailable', 'no-answer']),
      tookMs: Type.Optional(Type.Integer({ description: '0 when the host had the snapshot already' })),
      message: Type.Optional(Type.String()),
    }),
  ),
});

/** `POST /v1/functions/{name}/versions/{version}/warm`: every live worker makes the version's snapshot. */
export function warmRoute(scope: FastifyInstance, services: Services): void {
  const { registry, audit } = services;
  scope.post<{ Params: Static<typeof VersionParams>; Querystring: Static<typeof WarmQuery> }>(
    '/v1/functions/:name/versions/:version/warm',
    {
      config: { scope: 'function:write' },
      schema: {
        summary: 'Prepare a version on every live worker',
        description: 'Answers when each has said how it went, or the time is over; what they do goes on.',
        params: VersionParams,
        querystring: WarmQuery,
        response: { 200: WarmAnswer, ...problems('4XX', '5XX') },
      },
    },
    async (request) => {
      const { tenant } = request;
      const { name } = request.params;
      const number = Number(request.params.version);
      const waitMs = Number(request.query.waitMs ?? DEFAULT_WAIT_MS);
      if (waitMs > MAX_WAIT_MS)
        throw invalidRequest({ pointer: '#waitMs', detail: `expected 1 to ${MAX_WAIT_MS}` });
      const version = await registry.getVersion(tenant, name, number);
      if (version === undefined) throw notFound(`version ${number} of function ${name}`);
      const hosts = await warmUp(services, registry.refOf(tenant, name, version), waitMs);
      const target = `${name}@${number}`;
      await audit.record(request, { action: 'version.warm', tenant, target });
      checkOutcome(target, hosts);
      return { function: name, version: number, hosts };
    },
  );
}

/** @throws MAYFLY_ERR_GATEWAY_NO_HOST, …_SNAPSHOT_FAILED or …_NOT_ROUTABLE when no host has the snapshot. */
function checkOutcome(target: string, hosts: readonly WarmHost[]): void {
  if (hosts.some(({ state }) => state === 'ready')) return;
  if (hosts.length === 0)
    throw gatewayError('MAYFLY_ERR_GATEWAY_NO_HOST', `no worker is alive for ${target}`);
  const failed = hosts.find(({ state }) => state === 'failed');
  if (failed !== undefined)
    throw gatewayError(
      'MAYFLY_ERR_GATEWAY_SNAPSHOT_FAILED',
      failed.message ?? `${target} did not initialise`,
    );
  const said = hosts.map(({ workerId, state, message }) => `${workerId}: ${message ?? state}`).join('; ');
  throw gatewayError('MAYFLY_ERR_GATEWAY_NOT_ROUTABLE', `no worker has a snapshot of ${target}: ${said}`, {
    details: { retryAfterS: 1 },
  });
}
