import { isInvocationId } from '@mayfly/contracts';
import type { DeadCursor, DeadLetter } from '@mayfly/queue';
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { invalidRequest, notFound } from '../../errors.js';
import type { KnownInvocation } from '../../invocations/invocation-store.js';
import { Redriver } from '../../invocations/redriver.js';
import { orUnavailable } from '../../redis.js';
import {
  DeadLetterPage,
  DeadLetterParams,
  DeadLetterSchema,
  MAX_LETTERS,
  PurgeAnswer,
  RedriveAnswer,
  RedriveBody,
} from '../../schemas/dead-letter.js';
import { PageQuery } from '../../schemas/function.js';
import { FunctionParams, problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';
import { nextPage, readPage } from '../paging.js';

const DEFAULT_RATE_PER_S = 10;

/** `/v1/functions/{name}/dead-letters`: async calls that were given up; list, inspect, redrive, purge. */
export function deadLetterRoutes(scope: FastifyInstance, services: Services): void {
  listRoute(scope, services);
  inspectRoute(scope, services);
  redriveRoute(scope, services);
  purgeRoutes(scope, services);
}

function listRoute(scope: FastifyInstance, { deadLetters, store }: Services): void {
  scope.get<{ Params: Static<typeof FunctionParams>; Querystring: Static<typeof PageQuery> }>(
    '/v1/functions/:name/dead-letters',
    {
      config: { scope: 'invocation:read' },
      schema: {
        summary: 'List dead letters',
        description:
          'Async calls of the function that were given up, newest first. Kept as long as their records.',
        params: FunctionParams,
        querystring: PageQuery,
        response: { 200: DeadLetterPage, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { tenant } = request;
      const { name } = request.params;
      const page = readPage(request.query, (text) => readCursor(text) !== undefined);
      const after = page.after === undefined ? undefined : readCursor(page.after);
      const letters = await orUnavailable(deadLetters.list(tenant, name, { limit: page.limit, after }));
      const known = await store.findAll(
        tenant,
        letters.map(({ invocationId }) => invocationId),
      );
      const items = letters.map((letter, index) => describe(letter, known[index]));
      const last = letters.at(-1);
      if (letters.length < page.limit || last === undefined) return { items };
      const cursor = `${last.deadAtMs} ${last.invocationId}`;
      return { items, nextCursor: nextPage(reply, `/v1/functions/${name}/dead-letters`, page, cursor) };
    },
  );
}

function inspectRoute(scope: FastifyInstance, { deadLetters, store }: Services): void {
  scope.get<{ Params: Static<typeof DeadLetterParams> }>(
    '/v1/functions/:name/dead-letters/:id',
    {
      config: { scope: 'invocation:read' },
      schema: {
        summary: 'Show a dead letter',
        params: DeadLetterParams,
        response: { 200: DeadLetterSchema, ...problems('4XX', '5XX') },
      },
    },
    async ({ tenant, params: { name, id } }) => {
      const letter = await orUnavailable(deadLetters.find(tenant, name, id));
      if (letter === undefined) throw notFound(`dead letter ${id} of function ${name}`);
      return {
        ...describe(letter, await store.find(tenant, id)),
        ...(letter.call && { input: letter.call.item.input }),
        links: { invocation: `/v1/invocations/${id}` },
      };
    },
  );
}

function redriveRoute(scope: FastifyInstance, services: Services): void {
  const { deadLetters, audit } = services;
  const redriver = new Redriver(services);
  scope.post<{ Params: Static<typeof FunctionParams>; Body: Static<typeof RedriveBody> }>(
    '/v1/functions/:name/dead-letters/redrive',
    {
      config: { scope: 'function:invoke' },
      schema: {
        summary: 'Make dead letters new invocations',
        description:
          'Each at its time: `ratePerSecond` of them begin a second. They name what they were made from as `origin`.',
        params: FunctionParams,
        body: RedriveBody,
        response: { 202: RedriveAnswer, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { tenant, body } = request;
      const { name } = request.params;
      if ((body.ids === undefined) === (body.all === undefined))
        throw invalidRequest({ pointer: '', detail: 'expected either ids or all' });
      const ids = body.ids ?? (await orUnavailable(deadLetters.oldest(tenant, name, MAX_LETTERS)));
      const { version, ratePerSecond = DEFAULT_RATE_PER_S } = body;
      const redriven = await redriver.redrive({ tenant, name, ids, version, ratePerSecond });
      const after = { count: redriven.length, ratePerSecond, ...(version !== undefined && { version }) };
      await audit.record(request, { action: 'dead-letters.redrive', tenant, target: name, after });
      const left = await orUnavailable(deadLetters.count(tenant, name));
      return reply.code(202).send({ redriven, left });
    },
  );
}

function purgeRoutes(scope: FastifyInstance, { deadLetters, audit }: Services): void {
  scope.delete<{ Params: Static<typeof FunctionParams> }>(
    '/v1/functions/:name/dead-letters',
    {
      config: { scope: 'function:write' },
      schema: {
        summary: 'Purge the dead letters of a function',
        description: `The oldest ${MAX_LETTERS}; ask again while some are left. Records stay.`,
        params: FunctionParams,
        response: { 200: PurgeAnswer, ...problems('4XX', '5XX') },
      },
    },
    async (request) => {
      const { tenant } = request;
      const { name } = request.params;
      const ids = await orUnavailable(deadLetters.oldest(tenant, name, MAX_LETTERS));
      const purged = await orUnavailable(deadLetters.purge(tenant, name, ids));
      await audit.record(request, { action: 'dead-letters.purge', tenant, target: name, after: { purged } });
      return { purged, left: await orUnavailable(deadLetters.count(tenant, name)) };
    },
  );
  scope.delete<{ Params: Static<typeof DeadLetterParams> }>(
    '/v1/functions/:name/dead-letters/:id',
    {
      config: { scope: 'function:write' },
      schema: {
        summary: 'Purge a dead letter',
        params: DeadLetterParams,
        response: { 200: PurgeAnswer, ...problems('4XX', '5XX') },
      },
    },
    async (request) => {
      const { tenant } = request;
      const { name, id } = request.params;
      const purged = await orUnavailable(deadLetters.purge(tenant, name, [id]));
      if (purged === 0) throw notFound(`dead letter ${id} of function ${name}`);
      await audit.record(request, { action: 'dead-letters.purge', tenant, target: `${name} ${id}` });
      return { purged, left: await orUnavailable(deadLetters.count(tenant, name)) };
    },
  );
}

function describe({ invocationId, deadAtMs, call }: DeadLetter, known: KnownInvocation | undefined) {
  const { ended, accepted } = known ?? {};
  const traceId = ended?.trace?.id ?? accepted?.traceId;
  const message = ended?.outcome === 'host-fault' ? undefined : ended?.detail?.message;
  return {
    ...{ invocationId, deadAtMs: Math.floor(deadAtMs) },
    ...(call && { version: call.function.version, entrypoint: call.item.entrypoint }),
    ...(ended && {
      ...{ outcome: ended.outcome, state: ended.state, attempts: ended.attempts?.length },
      acceptedAtMs: Math.floor(ended.acceptedAtMs),
    }),
    ...(message !== undefined && { message }),
    ...(traceId !== undefined && { traceId }),
  };
}

function readCursor(text: string): DeadCursor | undefined {
  const [deadAtMs = '', invocationId = '', ...rest] = text.split(' ');
  if (rest.length > 0 || !/^\d{1,15}$/.test(deadAtMs) || !isInvocationId(invocationId)) return undefined;
  return { deadAtMs: Number(deadAtMs), invocationId };
}
