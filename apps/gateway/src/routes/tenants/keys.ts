import type { FastifyInstance, FastifyReply } from 'fastify';
import { type Static, type TSchema, Type } from 'typebox';
import { invalidRequest } from '../../errors.js';
import type { RouteScope } from '../../plugins/auth.js';
import { problems } from '../../schemas/shared.js';
import {
  KeyList,
  MadeKeySchema,
  NewKeyBody,
  NewOperatorKeyBody,
  OperatorKeyParams,
  RotateBody,
  TenantKeyParams,
  TenantParams,
} from '../../schemas/tenant.js';
import type { Services } from '../../services.js';
import { describeKey, type KeyRequest, type MadeKey } from '../../tenants/key-admin.js';

/** Whose keys a set of routes is about. */
interface KeyPlace {
  readonly path: string;
  readonly scope: RouteScope;
  readonly params: TSchema;
  readonly keyParams: TSchema;
  readonly body: TSchema;
  readonly of: string;
}

/** An operator's routes name no tenant: theirs are the keys of the tenant `''`. */
interface KeyParams {
  readonly tenant?: string;
  readonly key: string;
}

const PLACES: readonly KeyPlace[] = [
  {
    path: '/v1/tenants/:tenant/keys',
    scope: 'tenant:admin',
    params: TenantParams,
    keyParams: TenantKeyParams,
    body: NewKeyBody,
    of: 'a tenant',
  },
  {
    path: '/v1/operator-keys',
    scope: 'operator',
    params: Type.Object({}),
    keyParams: OperatorKeyParams,
    body: NewOperatorKeyBody,
    of: 'the operators',
  },
];

/** Keys of tenants and of operators: made, listed, rotated, revoked. A key's text is answered once. */
export function keyRoutes(scope: FastifyInstance, services: Services): void {
  for (const place of PLACES) routesOf(scope, services, place);
}

function routesOf(scope: FastifyInstance, { keyAdmin, tenantAdmin }: Services, place: KeyPlace): void {
  const { path, params, keyParams, of } = place;
  const config = { scope: place.scope, pattern: 'none' } as const;
  const check = async (tenant: string | undefined): Promise<string> => {
    if (tenant !== undefined) await tenantAdmin.find(tenant);
    return tenant ?? '';
  };

  scope.post<{ Params: KeyParams; Body: Static<typeof NewKeyBody> }>(
    path,
    {
      config,
      schema: {
        summary: `Make a key of ${of}`,
        params,
        body: place.body,
        response: { 201: MadeKeySchema, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const tenant = await check(request.params.tenant);
      return sendMade(reply, await keyAdmin.create(request, tenant, keyRequest(request.body)));
    },
  );

  scope.get<{ Params: KeyParams }>(
    path,
    {
      config,
      schema: {
        summary: `List the keys of ${of}`,
        params,
        response: { 200: KeyList, ...problems('4XX', '5XX') },
      },
    },
    async (request) => {
      const keys = await keyAdmin.list(await check(request.params.tenant));
      return { items: keys.map(describeKey) as Static<typeof KeyList>['items'] };
    },
  );

  scope.post<{ Params: KeyParams; Body: Static<typeof RotateBody> }>(
    `${path}/:key/rotate`,
    {
      config,
      schema: {
        summary: 'Replace a key; both are valid for a while',
        params: keyParams,
        body: RotateBody,
        response: { 201: MadeKeySchema, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const tenant = await check(request.params.tenant);
      const { overlapS } = request.body;
      return sendMade(reply, await keyAdmin.rotate(request, tenant, request.params.key, overlapS));
    },
  );

  scope.delete<{ Params: KeyParams }>(
    `${path}/:key`,
    {
      config,
      schema: {
        summary: 'Revoke a key, on every gateway within a second',
        params: keyParams,
        response: { 204: Type.Null({ description: 'Revoked' }), ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      await keyAdmin.revoke(request, await check(request.params.tenant), request.params.key);
      return reply.code(204).send();
    },
  );
}

/** @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST for an administrator of some functions: it could make keys for all. */
function keyRequest({ scopes = [], ...rest }: Partial<Static<typeof NewKeyBody>>): KeyRequest {
  if (rest.functionPattern !== undefined && scopes.includes('tenant:admin'))
    throw invalidRequest({
      pointer: '/functionPattern',
      detail: 'a key with tenant:admin can make others, so that no pattern holds it',
    });
  return { scopes, ...rest };
}

function sendMade(reply: FastifyReply, { key, text }: MadeKey): FastifyReply {
  return reply
    .code(201)
    .header('cache-control', 'no-store')
    .send({ ...describeKey(key), key: text });
}
