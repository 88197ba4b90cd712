import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { notFound } from '../../errors.js';
import { aliasOf, checkAliasName } from '../../registry/alias.js';
import { etagOf, isKnown, preconditionOf } from '../../registry/precondition.js';
import type { StoredFunction } from '../../registry/stored-function.js';
import { AliasInput, AliasList, AliasSchema } from '../../schemas/alias.js';
import { AliasParams, ConditionalHeaders, FunctionParams, problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { describeAlias } from './describe.js';

/** `GET /v1/functions/{name}/aliases` and `GET`, `PUT`, `DELETE …/aliases/{alias}`; read from Redis, not from the cache. */
export function aliasRoutes(scope: FastifyInstance, { registry, cache, audit }: Services): void {
  const find = async (tenant: string, name: string): Promise<StoredFunction> => {
    const stored = await registry.getFunction(tenant, name);
    if (stored === undefined) throw notFound(`function ${name}`);
    return stored;
  };

  scope.get<{ Params: Static<typeof FunctionParams> }>(
    '/v1/functions/:name/aliases',
    {
      config: { scope: 'any' },
      schema: {
        summary: 'List the aliases of a function',
        params: FunctionParams,
        response: { 200: AliasList, ...problems('4XX', '5XX') },
      },
    },
    async (request) => {
      const { name, aliases } = await find(request.tenant, request.params.name);
      return { items: [...aliases].map(([alias, content]) => describeAlias(name, alias, content)) };
    },
  );

  scope.get<{ Params: Static<typeof AliasParams> }>(
    '/v1/functions/:name/aliases/:alias',
    {
      config: { scope: 'any' },
      schema: {
        summary: 'Show an alias',
        params: AliasParams,
        response: {
          200: AliasSchema,
          304: Type.Null({ description: 'As If-None-Match knows it' }),
          ...problems('4XX', '5XX'),
        },
      },
    },
    async (request, reply) => {
      const { name, alias } = request.params;
      const content = (await find(request.tenant, name)).aliases.get(alias);
      if (content === undefined) throw notFound(`alias ${alias} of function ${name}`);
      reply.header('etag', etagOf(content.revision));
      if (isKnown(request.headers, content.revision)) return reply.code(304).send();
      return describeAlias(name, alias, content);
    },
  );

  scope.put<{ Params: Static<typeof AliasParams>; Body: AliasInput }>(
    '/v1/functions/:name/aliases/:alias',
    {
      config: { scope: 'function:write' },
      schema: {
        summary: 'Create or replace an alias',
        params: AliasParams,
        headers: ConditionalHeaders,
        body: AliasInput,
        response: { 200: AliasSchema, 201: AliasSchema, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { tenant } = request;
      const { name, alias } = request.params;
      checkAliasName(alias);
      const precondition = preconditionOf(request.headers);
      const before = (await find(tenant, name)).aliases.get(alias);
      const content = aliasOf(request.body, before);
      const revision = await registry.writeAlias(tenant, name, alias, content, precondition);
      cache.forget(tenant, name);
      const change = { tenant, target: `${name}:${alias}`, before, after: content };
      await audit.record(request, { action: 'alias.replace', ...change });
      return reply
        .code(before === undefined ? 201 : 200)
        .headers({ etag: etagOf(revision), location: `/v1/functions/${name}/aliases/${alias}` })
        .send(describeAlias(name, alias, { ...content, revision }));
    },
  );

  scope.delete<{ Params: Static<typeof AliasParams> }>(
    '/v1/functions/:name/aliases/:alias',
    {
      config: { scope: 'function:write' },
      schema: {
        summary: 'Delete an alias',
        params: AliasParams,
        headers: ConditionalHeaders,
        response: { 204: Type.Null({ description: 'Deleted' }), ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { tenant } = request;
      const { name, alias } = request.params;
      const deleted = await registry.deleteAlias(tenant, name, alias, preconditionOf(request.headers));
      cache.forget(tenant, name);
      if (!deleted) throw notFound(`alias ${alias} of function ${name}`);
      await audit.record(request, { action: 'alias.delete', tenant, target: `${name}:${alias}` });
      return reply.code(204).send();
    },
  );
}
