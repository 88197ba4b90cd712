import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { PageQuery } from '../../schemas/function.js';
import { problems, Strict, Words } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { nextPage, readPage } from '../paging.js';

const EntrySchema = Type.Object({
  id: Type.String(),
  hash: Type.String({ description: 'SHA-256 over the hash before, a line feed and the entry’s stored text' }),
  seq: Type.Integer(),
  atMs: Type.Integer(),
  actor: Type.Object({
    kind: Words(['operator', 'tenant', 'platform']),
    keyId: Type.String(),
    tenant: Type.Optional(Type.String()),
  }),
  from: Type.Optional(Type.String()),
  action: Type.String(),
  tenant: Type.Optional(Type.String()),
  target: Type.String(),
  before: Type.Optional(Type.Unknown()),
  after: Type.Optional(Type.Unknown()),
});
const EntryPage = Type.Object({
  items: Type.Array(EntrySchema),
  nextCursor: Type.Optional(Type.String()),
});
const VerifyQuery = Strict({
  seq: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,14}$', description: 'Of an entry noted before' })),
  hash: Type.Optional(Type.String({ pattern: '^[0-9a-f]{64}$', description: 'Its hash' })),
});
const VerifySchema = Type.Object({
  ok: Type.Boolean(),
  entries: Type.Integer({ description: 'That hold' }),
  head: Type.Object({ seq: Type.Integer(), hash: Type.String() }),
  broken: Type.Optional(Type.Object({ id: Type.String(), seq: Type.Integer(), reason: Type.String() })),
});

const config = { scope: 'operator', pattern: 'none' } as const;
const isStreamId = (text: string): boolean => /^\d{1,16}-\d{1,10}$/.test(text);

/** `GET /v1/audit`, oldest first, and `GET /v1/audit/verify`. */
export function auditRoutes(scope: FastifyInstance, { audit }: Services): void {
  scope.get<{ Querystring: Static<typeof PageQuery> }>(
    '/v1/audit',
    {
      config,
      schema: {
        summary: 'What was changed, and what operators read',
        querystring: PageQuery,
        response: { 200: EntryPage, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const page = readPage(request.query, isStreamId);
      const { items, cursor } = await audit.page(page.after, page.limit);
      return {
        items,
        ...(cursor !== undefined && { nextCursor: nextPage(reply, '/v1/audit', page, cursor) }),
      };
    },
  );

  scope.get<{ Querystring: Static<typeof VerifyQuery> }>(
    '/v1/audit/verify',
    {
      config,
      schema: {
        summary: 'Whether the log is whole; names the first place where it is not',
        querystring: VerifyQuery,
        response: { 200: VerifySchema, ...problems('4XX', '5XX') },
      },
    },
    async ({ query: { seq, hash } }) => {
      const noted = seq !== undefined && hash !== undefined ? { seq: Number(seq), hash } : undefined;
      const result = await audit.verify(noted);
      return { ok: result.broken === undefined, ...result };
    },
  );
}
