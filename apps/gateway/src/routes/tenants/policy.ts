import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { checkIfMatch, etagOf } from '../../etag.js';
import { problems } from '../../schemas/shared.js';
import { PolicySchema, QuotasBody, QuotasSchema, TenantParams } from '../../schemas/tenant.js';
import type { Services } from '../../services.js';
import { quotasOf } from '../../tenants/stored.js';
import { describePolicy } from './describe.js';

type OfTenant = { Params: Static<typeof TenantParams> };
/** A tenant may look at what holds for it; only an operator changes it. */
const read = { scope: 'tenant:admin', pattern: 'none' } as const;
const write = { scope: 'operator', pattern: 'none' } as const;

/** `/v1/tenants/{t}/quotas` and `…/policy`: how much a tenant may use, and where. Both are replaced whole. */
export function policyRoutes(scope: FastifyInstance, { tenantAdmin }: Services): void {
  scope.get<OfTenant>(
    '/v1/tenants/:tenant/quotas',
    {
      config: read,
      schema: {
        summary: 'Quotas of a tenant',
        params: TenantParams,
        response: { 200: QuotasSchema, ...problems('4XX', '5XX') },
      },
    },
    async ({ params }, reply) => {
      const quotas = quotasOf((await tenantAdmin.find(params.tenant)).tenant);
      return reply.header('etag', etagOf(quotas)).send(quotas);
    },
  );

  scope.put<OfTenant & { Body: Static<typeof QuotasBody> }>(
    '/v1/tenants/:tenant/quotas',
    {
      config: write,
      schema: {
        summary: 'Replace the quotas of a tenant',
        description: 'What the body leaves out is the platform’s default again. `If-Match` is kept.',
        params: TenantParams,
        body: QuotasBody,
        response: { 200: QuotasSchema, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { tenant } = await tenantAdmin.update(
        request,
        { name: request.params.tenant, action: 'tenant.quotas.replace', part: quotasOf },
        (before) => {
          checkIfMatch(request, etagOf(quotasOf(before)));
          return { ...before, quotas: request.body };
        },
      );
      const quotas = quotasOf(tenant);
      return reply.header('etag', etagOf(quotas)).send(quotas);
    },
  );

  scope.get<OfTenant>(
    '/v1/tenants/:tenant/policy',
    {
      config: read,
      schema: {
        summary: 'Where a tenant’s code may run and its callbacks may go',
        params: TenantParams,
        response: { 200: PolicySchema, ...problems('4XX', '5XX') },
      },
    },
    async ({ params }, reply) => {
      const policy = describePolicy((await tenantAdmin.find(params.tenant)).tenant);
      return reply.header('etag', etagOf(policy)).send(policy);
    },
  );

  scope.put<OfTenant & { Body: Static<typeof PolicySchema> }>(
    '/v1/tenants/:tenant/policy',
    {
      config: write,
      schema: {
        summary: 'Replace that',
        params: TenantParams,
        body: PolicySchema,
        response: { 200: PolicySchema, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { requiresKvm, callbackHosts } = request.body;
      const { tenant } = await tenantAdmin.update(
        request,
        { name: request.params.tenant, action: 'tenant.policy.replace', part: describePolicy },
        ({ requiresKvm: present, ...before }) => {
          const known = { ...before, ...(present && { requiresKvm: present }) };
          checkIfMatch(request, etagOf(describePolicy(known)));
          return { ...before, callbackHosts, ...(requiresKvm !== 'any' && { requiresKvm }) };
        },
      );
      const policy = describePolicy(tenant);
      return reply.header('etag', etagOf(policy)).send(policy);
    },
  );
}
