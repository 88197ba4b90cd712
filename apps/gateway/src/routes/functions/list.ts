import { isFunctionName } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { mayTouch } from '../../plugins/auth.js';
import { FunctionPage, PageQuery } from '../../schemas/function.js';
import { problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { nextPage, readPage } from '../paging.js';
import { describeFunction } from './describe.js';

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
      const page = readPage(request.query, isFunctionName);
      const { limit, after } = page;
      const all = await registry.listNames(request.tenant);
      const names = all.filter((name) => mayTouch(request, name));
      const rest = after === undefined ? names : names.filter((name) => name > after);
      const shown = rest.slice(0, limit);
      const items = (await registry.getFunctions(request.tenant, shown)).map(describeFunction);
      const last = shown.at(-1);
      if (rest.length <= limit || last === undefined) return { items };
      return { items, nextCursor: nextPage(reply, '/v1/functions', page, last) };
    },
  );
}
