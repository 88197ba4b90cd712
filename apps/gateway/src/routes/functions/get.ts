import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { notFound } from '../../errors.js';
import type { StoredFunction } from '../../registry/stored-function.js';
import { FunctionSchema, VersionList, VersionSchema } from '../../schemas/function.js';
import { FunctionParams, problems, VersionParams } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { describeFunction, describeVersion } from './describe.js';

/** `GET /v1/functions/{name}`, `…/versions` and `…/versions/{version}`; read from Redis, not from the cache. */
export function getRoutes(scope: FastifyInstance, { registry }: Services): void {
  const find = async (tenant: string, name: string): Promise<StoredFunction> => {
    const stored = await registry.getFunction(tenant, name);
    if (stored === undefined) throw notFound(`function ${name}`);
    return stored;
  };

  scope.get<{ Params: Static<typeof FunctionParams> }>(
    '/v1/functions/:name',
    {
      config: { scope: 'any' },
      schema: {
        summary: 'Show a function',
        params: FunctionParams,
        response: { 200: FunctionSchema, ...problems('4XX', '5XX') },
      },
    },
    async (request) => describeFunction(await find(request.tenant, request.params.name)),
  );

  scope.get<{ Params: Static<typeof FunctionParams> }>(
    '/v1/functions/:name/versions',
    {
      config: { scope: 'any' },
      schema: {
        summary: 'List the versions of a function, newest first',
        params: FunctionParams,
        response: { 200: VersionList, ...problems('4XX', '5XX') },
      },
    },
    async (request) => {
      const { name, versions } = await find(request.tenant, request.params.name);
      return { items: versions.toReversed().map((version) => describeVersion(name, version)) };
    },
  );

  scope.get<{ Params: Static<typeof VersionParams> }>(
    '/v1/functions/:name/versions/:version',
    {
      config: { scope: 'any' },
      schema: {
        summary: 'Show a version',
        params: VersionParams,
        response: { 200: VersionSchema, ...problems('4XX', '5XX') },
      },
    },
    async (request) => {
      const { name, version } = request.params;
      const stored = await registry.getVersion(request.tenant, name, Number(version));
      if (stored === undefined) throw notFound(`version ${version} of function ${name}`);
      return describeVersion(name, stored);
    },
  );
}
