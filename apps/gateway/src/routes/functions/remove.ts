import { DEFAULT_SETTINGS } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { gatewayError, notFound } from '../../errors.js';
import { orUnavailable } from '../../redis.js';
import type { Deletion } from '../../registry/function-registry.js';
import { FunctionParams, problems, Strict, VersionParams, Words } from '../../schemas/shared.js';
import type { Services } from '../../services.js';

const Gone = Type.Null({ description: 'Deleted; calls that are queued still run' });

const ForceQuery = Strict({
  force: Type.Optional(Words(['true', 'false'], 'Deletes what aliases use, too')),
});

/** `DELETE /v1/functions/{name}` and `…/versions/{version}`. A function goes with its last version. */
export function removeRoutes(scope: FastifyInstance, { registry, cache, audit, gate }: Services): void {
  scope.delete<{ Params: Static<typeof FunctionParams>; Querystring: Static<typeof ForceQuery> }>(
    '/v1/functions/:name',
    {
      config: { scope: 'function:write' },
      schema: {
        summary: 'Delete a function and its versions',
        params: FunctionParams,
        querystring: ForceQuery,
        response: { 204: Gone, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const force = request.query.force === 'true';
      const deletion = await registry.deleteFunction(request.tenant, name, force);
      cache.forget(request.tenant, name);
      if (!isDone(deletion)) throw notFound(`function ${name}`);
      const { concurrency } = DEFAULT_SETTINGS;
      await orUnavailable(gate.configureFunction(request.tenant, name, concurrency));
      await audit.record(request, { action: 'function.delete', tenant: request.tenant, target: name });
      return reply.code(204).send();
    },
  );

  scope.delete<{ Params: Static<typeof VersionParams>; Querystring: Static<typeof ForceQuery> }>(
    '/v1/functions/:name/versions/:version',
    {
      config: { scope: 'function:write' },
      schema: {
        summary: 'Delete a version',
        params: VersionParams,
        querystring: ForceQuery,
        response: { 204: Gone, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { name, version } = request.params;
      const force = request.query.force === 'true';
      const deletion = await registry.deleteVersion(request.tenant, name, Number(version), force);
      cache.forget(request.tenant, name);
      if (!isDone(deletion)) throw notFound(`version ${version} of function ${name}`);
      const target = `${name}@${version}`;
      await audit.record(request, { action: 'version.delete', tenant: request.tenant, target });
      return reply.code(204).send();
    },
  );
}

/** @throws MAYFLY_ERR_GATEWAY_ALIAS_IN_USE */
function isDone(deletion: Deletion): boolean {
  if ('deleted' in deletion) return deletion.deleted;
  const aliases = deletion.usedBy;
  throw gatewayError(
    'MAYFLY_ERR_GATEWAY_ALIAS_IN_USE',
    `aliases send calls to it: ${aliases.join(', ')}; ?force=true deletes it anyway`,
    { details: { aliases } },
  );
}
