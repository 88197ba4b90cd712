import { ISOLATIONS, KVM_KINDS } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { problems, Words } from '../../schemas/shared.js';
import type { Services } from '../../services.js';

const HostSchema = Type.Object({
  workerId: Type.String(),
  hostName: Type.String({ description: 'Several workers can share a host' }),
  kvm: Words(KVM_KINDS, 'What stands beneath KVM there: the CPU, or software'),
  isolation: Words(ISOLATIONS, 'Whether each tenant has a jailed process of its own'),
  slots: Type.Integer({ description: 'Calls that run at once' }),
  callsInFlight: Type.Integer({ description: 'Calls that run or wait at the slots, at the last heartbeat' }),
  startedAtMs: Type.Integer(),
  lastSeenAtMs: Type.Integer({
    description: 'Of its last heartbeat; a worker is listed for ten seconds after it',
  }),
});
const HostList = Type.Object({ items: Type.Array(HostSchema) });

/** `GET /v1/hosts`: the workers that take calls, and what they stand on. */
export function hostsRoute(scope: FastifyInstance, { hosts }: Services): void {
  scope.get(
    '/v1/hosts',
    {
      config: { scope: 'any', pattern: 'none' },
      schema: { summary: 'List hosts', response: { 200: HostList, ...problems('4XX', '5XX') } },
    },
    async () => ({ items: await hosts.live() }),
  );
}
