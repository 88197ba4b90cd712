import { isFunctionName } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { invalidRequest } from '../../errors.js';
import { mayTouch } from '../../plugins/auth.js';
import { FunctionPage, PageQuery } from '../../schemas/function.js';
import { problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { describeFunction } from './describe.js';

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;

/** `GET /v1/functions`, by name, a page at a time. */
export function listRoute(scope: FastifyInstance, { registry }: Services): void {
  scope.get<{ Querystring: Static<typeof PageQuery> }>(
    '/v1/functions',
    {
      config: { scope: 'any', pattern: 'handler' },
      schema: {
        summary: 'List functions',
        querystring: PageQuery,
        response: { 200: FunctionPage, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { limit, cursor } = readPage(request.query);
      const all = await registry.listNames(request.tenant);
      const names = all.filter((name) => mayTouch(request, name));
      const rest = cursor === undefined ? names : names.filter((name) => name > cursor);
      const page = rest.slice(0, limit);
      const items = (await registry.getFunctions(request.tenant, page)).map(describeFunction);
      const last = page.at(-1);
      if (rest.length <= limit || last === undefined) return { items };
      const nextCursor = Buffer.from(last).toString('base64url');
      reply.header('link', `</v1/functions?limit=${limit}&cursor=${nextCursor}>; rel="next"`);
      return { items, nextCursor };
    },
  );
}

function readPage(query: Static<typeof PageQuery>): { limit: number; cursor: string | undefined } {
  const limit = Number(query.limit ?? DEFAULT_LIMIT);
  if (limit > MAX_LIMIT) throw invalidRequest({ pointer: '#limit', detail: `expected 1 to ${MAX_LIMIT}` });
  if (query.cursor === undefined) return { limit, cursor: undefined };
  const cursor = Buffer.from(query.cursor, 'base64url').toString('utf8');
  if (!isFunctionName(cursor)) throw invalidRequest({ pointer: '#cursor', detail: 'expected a nextCursor' });
  return { limit, cursor };
}
