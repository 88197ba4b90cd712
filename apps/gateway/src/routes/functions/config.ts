import { DEFAULT_SETTINGS, type FunctionSettings } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { notFound } from '../../errors.js';
import { orUnavailable } from '../../redis.js';
import { etagOf, isKnown, preconditionOf } from '../../registry/precondition.js';
import { checkSettings, settingsOf } from '../../registry/settings.js';
import { SettingsInput, SettingsSchema } from '../../schemas/settings.js';
import { ConditionalHeaders, FunctionParams, problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';

/** `GET` and `PUT /v1/functions/{name}/config`: what may be changed of a function without a new version. */
export function configRoutes(
  scope: FastifyInstance,
  { registry, cache, policies, audit, gate }: Services,
): void {
  scope.get<{ Params: Static<typeof FunctionParams> }>(
    '/v1/functions/:name/config',
    {
      config: { scope: 'any' },
      schema: {
        summary: "Show a function's configuration",
        params: FunctionParams,
        response: {
          200: SettingsSchema,
          304: Type.Null({ description: 'As If-None-Match knows it' }),
          ...problems('4XX', '5XX'),
        },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const stored = await registry.getFunction(request.tenant, name);
      if (stored === undefined) throw notFound(`function ${name}`);
      reply.header('etag', etagOf(stored.settingsRevision));
      if (isKnown(request.headers, stored.settingsRevision)) return reply.code(304).send();
      return describeSettings(name, stored.settings);
    },
  );

  scope.put<{ Params: Static<typeof FunctionParams>; Body: SettingsInput }>(
    '/v1/functions/:name/config',
    {
      config: { scope: 'function:write' },
      schema: {
        summary: "Replace a function's configuration",
        description: 'What the body leaves out gets its default.',
        params: FunctionParams,
        headers: ConditionalHeaders,
        body: SettingsInput,
        response: { 200: SettingsSchema, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { tenant } = request;
      const { name } = request.params;
      const settings = settingsOf(request.body);
      checkSettings(settings, policies.of(tenant).quotas);
      const precondition = preconditionOf(request.headers);
      const before = (await registry.getFunction(tenant, name))?.settings;
      const revision = await registry.writeSettings(tenant, name, settings, precondition);
      cache.forget(tenant, name);
      const after = { ...DEFAULT_SETTINGS, ...settings };
      await orUnavailable(gate.configureFunction(tenant, name, after.concurrency));
      await audit.record(request, { action: 'function-config.replace', tenant, target: name, before, after });
      reply.header('etag', etagOf(revision));
      return describeSettings(name, after);
    },
  );
}

function describeSettings(name: string, settings: FunctionSettings): Static<typeof SettingsSchema> {
  const { retry, secrets, concurrency, env, ...plain } = settings;
  return {
    function: name,
    ...plain,
    concurrency: { ...concurrency },
    retry: { ...retry, retryOn: [...retry.retryOn] },
    env: { ...env },
    secrets: [...secrets],
  };
}
