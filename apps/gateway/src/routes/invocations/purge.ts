import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { gatewayError } from '../../errors.js';
import { orUnavailable } from '../../redis.js';
import { InvocationParams, problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { checkTouch, findInvocation } from './find.js';

/**
 * `DELETE /v1/invocations/{id}`: its record, its log and what is inside of it are gone. Bytes in the blob store, which
 * other calls may share, can no longer be asked for and go with the next sweep that finds them unused.
 */
export function purgeRoute(scope: FastifyInstance, services: Services): void {
  scope.delete<{ Params: Static<typeof InvocationParams> }>(
    '/v1/invocations/:id',
    {
      config: { scope: 'tenant:admin', pattern: 'handler' },
      schema: {
        summary: 'Forget an invocation',
        description: 'Its record, log and result. 409 while it has not ended: cancel it first.',
        params: InvocationParams,
        response: { 204: Type.Null({ description: 'Forgotten' }), ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const { known } = await findInvocation(services, request.tenant, id);
      checkTouch(request, known);
      if (known.ended === undefined)
        throw gatewayError(
          'MAYFLY_ERR_GATEWAY_NOT_ENDED',
          'only an invocation that has ended can be forgotten',
          {
            details: { invocationId: id },
          },
        );
      const { tenant } = request;
      const target = `invocations/${id}`;
      await services.audit.record(request, { action: 'invocation.purge', tenant, target });
      await services.store.purge(tenant, id);
      await orUnavailable(services.deadLetters.purge(tenant, known.ended.function, [id]));
      return reply.code(204).send();
    },
  );
}
