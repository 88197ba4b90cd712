import { isTenantName } from '@mayfly/contracts';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { type Static, Type } from 'typebox';
import { gatewayError } from '../../errors.js';
import { PageQuery } from '../../schemas/function.js';
import { problems } from '../../schemas/shared.js';
import { NewTenantBody, RemoveQuery, TenantPage, TenantParams, TenantSchema } from '../../schemas/tenant.js';
import type { Services } from '../../services.js';
import { nextPage, readPage } from '../paging.js';
import { describeTenant } from './describe.js';

type OfTenant = { Params: Static<typeof TenantParams> };
const config = { scope: 'operator', pattern: 'none' } as const;

/** `/v1/tenants`: who may use the platform. */
export function tenantRoutes(scope: FastifyInstance, services: Services): void {
  const { tenantAdmin, directory, registry } = services;

  scope.post<{ Body: Static<typeof NewTenantBody> }>(
    '/v1/tenants',
    {
      config,
      schema: {
        summary: 'Make a tenant',
        body: NewTenantBody,
        response: { 201: TenantSchema, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { name, quotas = {}, requiresKvm = 'any', callbackHosts = [] } = request.body;
      const tenant = await tenantAdmin.create(request, name, {
        ...{ quotas, callbackHosts },
        ...(requiresKvm !== 'any' && { requiresKvm }),
      });
      return reply.code(201).header('location', `/v1/tenants/${name}`).send(describeTenant(tenant));
    },
  );

  scope.get<{ Querystring: Static<typeof PageQuery> }>(
    '/v1/tenants',
    {
      config,
      schema: {
        summary: 'List tenants',
        querystring: PageQuery,
        response: { 200: TenantPage, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const page = readPage(request.query, isTenantName);
      await directory.refresh();
      const { after } = page;
      const rest = directory.tenants().filter(({ tenant }) => after === undefined || tenant.name > after);
      const shown = rest.slice(0, page.limit);
      const last = shown.at(-1);
      const items = shown.map(({ tenant }) => describeTenant(tenant));
      if (rest.length <= page.limit || last === undefined) return { items };
      return { items, nextCursor: nextPage(reply, '/v1/tenants', page, last.tenant.name) };
    },
  );

  scope.get<OfTenant>(
    '/v1/tenants/:tenant',
    {
      config: { scope: 'tenant:admin', pattern: 'none' },
      schema: {
        summary: 'Show a tenant',
        params: TenantParams,
        response: { 200: TenantSchema, ...problems('4XX', '5XX') },
      },
    },
    async ({ params }) => describeTenant((await tenantAdmin.find(params.tenant)).tenant),
  );

  for (const [word, isPaused] of [
    ['pause', true],
    ['unpause', false],
  ] as const)
    scope.post<OfTenant>(
      `/v1/tenants/:tenant/${word}`,
      {
        config,
        schema: {
          summary: isPaused ? 'Let a tenant’s calls wait' : 'Let a tenant’s calls run again',
          params: TenantParams,
          response: { 200: TenantSchema, ...problems('4XX', '5XX') },
        },
      },
      async (request) => {
        const { tenant } = await tenantAdmin.update(
          request,
          { name: request.params.tenant, action: `tenant.${word}`, part: (of) => ({ paused: of.isPaused }) },
          (before) => ({ ...before, isPaused }),
        );
        return describeTenant(tenant);
      },
    );

  scope.delete<OfTenant & { Querystring: Static<typeof RemoveQuery> }>(
    '/v1/tenants/:tenant',
    {
      config,
      schema: {
        summary: 'Delete a tenant, its keys and, with force, its functions',
        params: TenantParams,
        querystring: RemoveQuery,
        response: { 204: Type.Null({ description: 'Deleted' }), ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { tenant } = request.params;
      await directory.refresh();
      // One whose deletion did not get to its end is deleted on.
      if (directory.deleted(tenant) === undefined || (await registry.listNames(tenant)).length === 0) {
        await tenantAdmin.find(tenant);
        if (request.query.force !== 'true') await checkEmpty(services, tenant);
        await tenantAdmin.remove(request, tenant);
      }
      await removeFunctions(services, request, tenant);
      await removeSecrets(services, request, tenant);
      return reply.code(204).send();
    },
  );
}

async function checkEmpty({ registry }: Services, tenant: string): Promise<void> {
  const names = await registry.listNames(tenant);
  if (names.length === 0) return;
  throw gatewayError(
    'MAYFLY_ERR_GATEWAY_CONFLICT',
    `the tenant has ${names.length} functions: delete them, or say force=true`,
  );
}

/** Nobody can add one any more: the tenant's keys are gone. */
async function removeFunctions(
  { registry, cache, audit }: Services,
  request: FastifyRequest,
  tenant: string,
): Promise<void> {
  for (const name of await registry.listNames(tenant)) {
    await registry.deleteFunction(tenant, name, true);
    cache.forget(tenant, name);
    await audit.record(request, { action: 'function.delete', tenant, target: name });
  }
}

/** Whoever gets the name later shall not have them. */
async function removeSecrets(
  { secrets, webhookSecrets, audit }: Services,
  request: FastifyRequest,
  tenant: string,
): Promise<void> {
  for (const { name } of await secrets.list(tenant)) {
    await secrets.remove(tenant, name);
    await audit.record(request, { action: 'secret.delete', tenant, target: name });
  }
  await webhookSecrets.remove(tenant);
}
