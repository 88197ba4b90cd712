import { LIMITS, type ParseResult, parseJsonValue, type TypedValue } from '@mayfly/contracts';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { invalidRequest, notFound, tooLarge } from '../../errors.js';
import {
  PutSecret,
  SecretBody,
  SecretList,
  SecretParams,
  SecretSchema,
  SecretVersionParams,
} from '../../schemas/secret.js';
import { problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';

const Gone = Type.Null({ description: 'Deleted; a worker may hand it out for ten more seconds' });
const config = { scope: 'secret:write' } as const;

/** `/v1/secrets`: written, listed by name and version, deleted, and never read back. */
export function secretRoutes(scope: FastifyInstance, { secrets, secretGrants, audit }: Services): void {
  scope.put<{ Params: Static<typeof SecretParams>; Body: Static<typeof SecretBody> }>(
    '/v1/secrets/:name',
    {
      config,
      schema: {
        summary: 'Put a new version of a secret',
        description:
          'Takes `value` (text) or `base64` (bytes). Functions that were granted the secret get the new version with their next call; nothing reads it back.',
        params: SecretParams,
        body: SecretBody,
        response: { 200: PutSecret, 201: PutSecret, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { tenant } = request;
      const { name } = request.params;
      const { version, createdAtMs, isFirst } = await secrets.put(tenant, name, readPlain(request.body));
      secretGrants.forget(tenant);
      await audit.record(request, { action: 'secret.put', tenant, target: name, after: { version } });
      return reply.code(isFirst ? 201 : 200).send({ name, version, createdAtMs });
    },
  );

  scope.get(
    '/v1/secrets',
    {
      config,
      schema: {
        summary: 'List secrets: names and versions',
        response: { 200: SecretList, ...problems('4XX', '5XX') },
      },
    },
    async (request) => ({ items: shown(await secrets.list(request.tenant)) }),
  );

  scope.get<{ Params: Static<typeof SecretParams> }>(
    '/v1/secrets/:name',
    {
      config,
      schema: {
        summary: 'Show the versions of a secret',
        params: SecretParams,
        response: { 200: SecretSchema, ...problems('4XX', '5XX') },
      },
    },
    async (request) => {
      const found = await secrets.find(request.tenant, request.params.name);
      if (found === undefined) throw notFound(`secret ${request.params.name}`);
      return shown([found])[0];
    },
  );

  scope.delete<{ Params: Static<typeof SecretParams> }>(
    '/v1/secrets/:name',
    {
      config,
      schema: {
        summary: 'Delete a secret and all its versions',
        params: SecretParams,
        response: { 204: Gone, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { tenant } = request;
      const { name } = request.params;
      const gone = await secrets.remove(tenant, name);
      secretGrants.forget(tenant);
      if (!gone) throw notFound(`secret ${name}`);
      await audit.record(request, { action: 'secret.delete', tenant, target: name });
      return reply.code(204).send();
    },
  );

  scope.delete<{ Params: Static<typeof SecretVersionParams> }>(
    '/v1/secrets/:name/versions/:version',
    {
      config,
      schema: {
        summary: 'Delete one version of a secret',
        params: SecretVersionParams,
        response: { 204: Gone, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { tenant } = request;
      const { name } = request.params;
      const version = Number(request.params.version);
      const gone = await secrets.remove(tenant, name, version);
      secretGrants.forget(tenant);
      if (!gone) throw notFound(`version ${version} of secret ${name}`);
      await audit.record(request, { action: 'secret.delete', tenant, target: name, before: { version } });
      return reply.code(204).send();
    },
  );
}

function shown(
  infos: readonly { name: string; versions: readonly object[] }[],
): Static<typeof SecretSchema>[] {
  return infos as Static<typeof SecretSchema>[];
}

/** @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST, MAYFLY_ERR_GATEWAY_TOO_LARGE; what was sent is in neither */
function readPlain({ value, base64 }: Static<typeof SecretBody>): Buffer {
  if ((value === undefined) === (base64 === undefined))
    throw invalidRequest({ pointer: '', detail: 'expected either value or base64' });
  const parsed: ParseResult<TypedValue> =
    value === undefined ? parseJsonValue('bytes', base64) : parseJsonValue('string', value);
  if (!parsed.ok)
    throw invalidRequest({ pointer: value === undefined ? '/base64' : '/value', detail: parsed.detail });
  const plain = parsed.value.type === 'bytes' ? Buffer.from(parsed.value.value) : Buffer.from(value ?? '');
  if (plain.byteLength > LIMITS.secretBytes) throw tooLarge('secretBytes', LIMITS.secretBytes);
  return plain;
}
