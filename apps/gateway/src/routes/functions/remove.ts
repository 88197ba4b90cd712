import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { notFound } from '../../errors.js';
import { FunctionParams, problems, VersionParams } from '../../schemas/shared.js';
import type { Services } from '../../services.js';

const Gone = Type.Null({ description: 'Deleted; calls that are queued still run' });

/** `DELETE /v1/functions/{name}` and `…/versions/{version}`. A function goes with its last version. */
export function removeRoutes(scope: FastifyInstance, { registry, cache }: Services): void {
  scope.delete<{ Params: Static<typeof FunctionParams> }>(
    '/v1/functions/:name',
    {
      config: { scope: 'function:write' },
      schema: {
        summary: 'Delete a function and its versions',
        params: FunctionParams,
        response: { 204: Gone, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const deleted = await registry.deleteFunction(request.tenant, name);
      cache.forget(request.tenant, name);
      if (!deleted) throw notFound(`function ${name}`);
      return reply.code(204).send();
    },
  );

  scope.delete<{ Params: Static<typeof VersionParams> }>(
    '/v1/functions/:name/versions/:version',
    {
      config: { scope: 'function:write' },
      schema: {
        summary: 'Delete a version',
        params: VersionParams,
        response: { 204: Gone, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { name, version } = request.params;
      const deleted = await registry.deleteVersion(request.tenant, name, Number(version));
      cache.forget(request.tenant, name);
      if (!deleted) throw notFound(`version ${version} of function ${name}`);
      return reply.code(204).send();
    },
  );
}
