import { NAME_PATTERNS } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { notFound } from '../../errors.js';
import { FunctionName, problems, Strict, VersionNumber, VersionParams } from '../../schemas/shared.js';
import type { Services } from '../../services.js';

const TenantName = Type.String({ pattern: NAME_PATTERNS.tenant });
const QuarantineParams = Strict({ tenant: TenantName, ...VersionParams.properties });
const QuarantineList = Type.Object({
  items: Type.Array(
    Type.Object({
      tenant: TenantName,
      function: FunctionName,
      version: VersionNumber,
      atMs: Type.Integer(),
      workerIds: Type.Array(Type.String(), { description: 'The workers that died while it ran' }),
    }),
  ),
});

/** `GET /v1/quarantine`, and `DELETE` of one version's: for operators. */
export function quarantineRoutes(scope: FastifyInstance, { quarantines, audit }: Services): void {
  scope.get(
    '/v1/quarantine',
    {
      config: { scope: 'operator', pattern: 'none' },
      schema: {
        summary: 'List the versions that no worker runs, since hosts died of them',
        response: { 200: QuarantineList, ...problems('4XX', '5XX') },
      },
    },
    async () => {
      await quarantines.look();
      return {
        items: quarantines.list().map(({ name, workerIds, ...rest }) => ({
          ...{ function: name, ...rest },
          workerIds: [...workerIds],
        })),
      };
    },
  );

  scope.delete<{ Params: Static<typeof QuarantineParams> }>(
    '/v1/tenants/:tenant/functions/:name/versions/:version/quarantine',
    {
      config: { scope: 'operator', pattern: 'none' },
      schema: {
        summary: 'Let workers run a quarantined version again',
        params: QuarantineParams,
        response: { 204: Type.Null({ description: 'Lifted' }), ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { tenant, name, version } = request.params;
      await quarantines.look();
      const found = quarantines.find(tenant, name, Number(version));
      if (found === undefined) throw notFound(`quarantine of version ${version} of function ${name}`);
      await quarantines.lift(found);
      const { atMs, workerIds } = found;
      await audit.record(request, {
        ...{ action: 'version.quarantine.lift', tenant, target: `${name}@${version}` },
        before: { atMs, workerIds },
      });
      return reply.code(204).send();
    },
  );
}
