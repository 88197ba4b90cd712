import { HOST_ORDERS, HOST_STATES, type HostOrder, ISOLATIONS, KVM_KINDS } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { notFound } from '../../errors.js';
import { problems, Words } from '../../schemas/shared.js';
import type { Services } from '../../services.js';

const HostSchema = Type.Object({
  workerId: Type.String(),
  hostName: Type.String({ description: 'Several workers can share a host' }),
  state: Words(HOST_STATES, 'What it does, as of its last heartbeat; dead: none came for five seconds'),
  order: Type.Optional(Words(HOST_ORDERS, 'What is wanted of it; absent: that it takes calls')),
  kvm: Words(KVM_KINDS, 'What stands beneath KVM there: the CPU, or software'),
  isolation: Words(ISOLATIONS, 'Whether each tenant has a jailed process of its own'),
  slots: Type.Integer({ description: 'Calls that run at once' }),
  callsInFlight: Type.Integer({ description: 'Calls that run or wait at the slots, at the last heartbeat' }),
  startedAtMs: Type.Integer(),
  lastSeenAtMs: Type.Integer({
    description:
      'Of its last heartbeat; a worker that went without a word is listed for ten minutes after it',
  }),
});
const HostList = Type.Object({ items: Type.Array(HostSchema) });
const HostParams = Type.Object({ id: Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$' }) });

const ORDERS: readonly { readonly verb: string; readonly order?: HostOrder; readonly summary: string }[] = [
  { verb: 'cordon', order: 'cordon', summary: 'Give a worker no more calls' },
  { verb: 'drain', order: 'drain', summary: 'Give a worker no more calls, and have others run what it runs' },
  { verb: 'uncordon', summary: 'Let a worker take calls again' },
];

/** `GET /v1/hosts`: the workers, what they stand on and do. `POST /v1/hosts/{id}/…`: what they are to do. */
export function hostsRoutes(scope: FastifyInstance, { hosts, audit }: Services): void {
  scope.get(
    '/v1/hosts',
    {
      config: { scope: 'operator', pattern: 'none' },
      schema: { summary: 'List hosts', response: { 200: HostList, ...problems('4XX', '5XX') } },
    },
    async () => ({ items: await hosts.all() }),
  );
  for (const { verb, order, summary } of ORDERS)
    scope.post<{ Params: Static<typeof HostParams> }>(
      `/v1/hosts/:id/${verb}`,
      {
        config: { scope: 'operator', pattern: 'none' },
        schema: {
          summary,
          params: HostParams,
          response: { 200: HostSchema, ...problems('4XX', '5XX') },
        },
      },
      async (request) => {
        const { id } = request.params;
        const host = await hosts.find(id);
        if (host === undefined) throw notFound(`host ${id}`);
        const { order: before, ...rest } = host;
        if (before === order) return host;
        await hosts.order(id, order);
        await audit.record(request, {
          ...{ action: `host.${verb}`, target: id },
          ...{ before: { order: before ?? 'none' }, after: { order: order ?? 'none' } },
        });
        return { ...rest, ...(order !== undefined && { order }) };
      },
    );
}
