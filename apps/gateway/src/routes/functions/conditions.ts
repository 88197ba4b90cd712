import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { notFound } from '../../errors.js';
import { conditionsOf } from '../../registry/conditions.js';
import {
  FunctionName,
  FunctionParams,
  problems,
  Strict,
  VersionNumber,
  Words,
} from '../../schemas/shared.js';
import type { Services } from '../../services.js';

const ConditionsQuery = Strict({
  version: Type.Optional(
    Type.String({ pattern: '^[1-9][0-9]{0,14}$', description: 'The newest version when absent' }),
  ),
});
const ConditionsAnswer = Type.Object({
  function: FunctionName,
  version: VersionNumber,
  conditions: Type.Array(
    Type.Object({
      type: Words(['Uploaded', 'Validated', 'SnapshotReady', 'Routable']),
      status: Words(['True', 'False', 'Unknown']),
      reason: Type.String({ description: 'One word' }),
      message: Type.String(),
      lastTransition: Type.String({ format: 'date-time' }),
    }),
  ),
});

/** `GET /v1/functions/{name}/conditions`: how far a version is; read from Redis, not from the cache. */
export function conditionsRoute(scope: FastifyInstance, { registry, quarantines }: Services): void {
  scope.get<{ Params: Static<typeof FunctionParams>; Querystring: Static<typeof ConditionsQuery> }>(
    '/v1/functions/:name/conditions',
    {
      config: { scope: 'any' },
      schema: {
        summary: 'Show how far a version is',
        params: FunctionParams,
        querystring: ConditionsQuery,
        response: { 200: ConditionsAnswer, ...problems('4XX', '5XX') },
      },
    },
    async (request) => {
      const { name } = request.params;
      const stored = await registry.getFunction(request.tenant, name);
      if (stored === undefined) throw notFound(`function ${name}`);
      const { version } = request.query;
      const found =
        version === undefined
          ? stored.versions.at(-1)
          : stored.versions.find((one) => one.version === Number(version));
      if (found === undefined) throw notFound(`version ${version} of function ${name}`);
      const quarantine = quarantines.find(request.tenant, name, found.version);
      return { function: name, version: found.version, conditions: conditionsOf(stored, found, quarantine) };
    },
  );
}
