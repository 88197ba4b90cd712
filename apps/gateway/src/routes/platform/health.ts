import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import type { Services } from '../../services.js';

const Check = Type.Object({ name: Type.String(), ok: Type.Boolean(), detail: Type.Optional(Type.String()) });
const Health = Type.Object({ status: Type.String(), checks: Type.Optional(Type.Array(Check)) });
const VerboseQuery = Type.Object({ verbose: Type.Optional(Type.String()) });

/** `/livez`: this process turns. `/readyz`: calls that come now can be answered; `?verbose` says why not. */
export function healthRoutes(app: FastifyInstance, services: Services): void {
  app.get('/livez', { schema: { summary: 'Liveness', security: [], response: { 200: Health } } }, () => ({
    status: 'ok',
  }));

  app.get<{ Querystring: Static<typeof VerboseQuery> }>(
    '/readyz',
    {
      schema: {
        summary: 'Readiness',
        security: [],
        querystring: VerboseQuery,
        response: { 200: Health, 503: Health },
      },
    },
    async (request, reply) => {
      const checks = [drainCheck(services), ...(await redisChecks(services))];
      const ready = checks.every((check) => check.ok);
      return reply.code(ready ? 200 : 503).send({
        status: ready ? 'ok' : 'not-ready',
        ...(request.query.verbose !== undefined && { checks }),
      });
    },
  );
}

function drainCheck({ invoker }: Services): Static<typeof Check> {
  return { name: 'accepting', ok: !invoker.draining, ...(invoker.draining && { detail: 'draining' }) };
}

async function redisChecks({ hosts, memory }: Services): Promise<Static<typeof Check>[]> {
  try {
    const alive = await hosts.countLive();
    return [
      { name: 'redis', ok: true },
      {
        name: 'redisMemory',
        ok: !memory.isTooFullFor('sync'),
        detail: `${Math.round(memory.share * 100)} % of maxmemory`,
      },
      { name: 'workers', ok: alive > 0, detail: `${alive} alive` },
    ];
  } catch {
    return [{ name: 'redis', ok: false, detail: 'not reachable' }];
  }
}
