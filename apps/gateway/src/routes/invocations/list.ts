import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { invalidRequest } from '../../errors.js';
import { describeInvocation, type InvocationView } from '../../invocations/describe.js';
import {
  decodeCursor,
  encodeCursor,
  InvocationIndex,
  type Place,
  type Span,
} from '../../invocations/invocation-index.js';
import type { KnownInvocation } from '../../invocations/invocation-store.js';
import { mayTouch } from '../../plugins/auth.js';
import { orUnavailable } from '../../redis.js';
import { InvocationPage, InvocationQuery } from '../../schemas/invocation.js';
import { problems } from '../../schemas/shared.js';
import type { Services } from '../../services.js';

const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;
/** Records that one request reads at most, whatever its filter leaves of them. */
const SCAN_BUDGET = 1_000;
const READ_AT_ONCE = 100;

type Query = Static<typeof InvocationQuery>;

/** `GET /v1/invocations`: newest first, a page at a time. */
export function listInvocationsRoute(scope: FastifyInstance, services: Services): void {
  const index = new InvocationIndex(services.redis);
  scope.get<{ Querystring: Query }>(
    '/v1/invocations',
    {
      config: { scope: 'invocation:read', pattern: 'handler' },
      schema: {
        summary: 'List invocations, newest first',
        description:
          'A request reads a bounded number of records; where a filter leaves few of them, the page is short and has a nextCursor.',
        querystring: InvocationQuery,
        response: { 200: InvocationPage, ...problems('4XX', '5XX') },
      },
    },
    async (request, reply) => {
      const { query, tenant } = request;
      const wanted = readQuery(query);
      const items: InvocationView[] = [];
      let scanned = 0;
      let last: Place | undefined;
      const count = Math.min(READ_AT_ONCE, Math.max(wanted.limit, 10));
      for await (const places of index.read(tenant, wanted.span, { after: wanted.after, count })) {
        const views = await readViews(services, tenant, places);
        for (const [position, place] of places.entries()) {
          const view = views[position];
          // Beyond the page there is something that belongs to the next one.
          if (items.length === wanted.limit || scanned === SCAN_BUDGET)
            return page(reply, query, items, last);
          scanned += 1;
          last = place;
          if (view !== undefined && mayTouch(request, view.function) && matches(view, query))
            items.push(view);
        }
      }
      return { items };
    },
  );
}

function page(
  reply: { header(name: string, value: string): unknown },
  query: Query,
  items: InvocationView[],
  last: Place | undefined,
) {
  if (last === undefined) return { items };
  const nextCursor = encodeCursor(last);
  const next = new URLSearchParams({ ...query, cursor: nextCursor });
  reply.header('link', `</v1/invocations?${next}>; rel="next"`);
  return { items, nextCursor };
}

async function readViews(
  { store, producer, attempts }: Services,
  tenant: string,
  places: readonly Place[],
): Promise<(InvocationView | undefined)[]> {
  const known = await store.findAll(
    tenant,
    places.map(({ invocationId }) => invocationId),
  );
  const underWay = async (one: KnownInvocation) => {
    if (one.ended !== undefined || one.accepted === undefined) return {};
    const { invocationId } = one.accepted;
    const run = await orUnavailable(attempts.find(tenant, invocationId));
    return run ? { run } : { running: (await producer.placeOf(tenant, invocationId)) === 'running' };
  };
  return Promise.all(
    known.map(async (one) => {
      if (one === undefined) return undefined;
      const { run, running = false } = await underWay(one);
      const view = describeInvocation(one, running, run);
      if (view === undefined) return undefined;
      const { logTail: _, ...rest } = view;
      return rest;
    }),
  );
}

function matches(view: InvocationView, query: Query): boolean {
  return (
    (query.function === undefined || view.function === query.function) &&
    (query.state === undefined || view.state === query.state) &&
    (query.traceId === undefined || view.traceId === query.traceId)
  );
}

/** @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST */
function readQuery(query: Query): { limit: number; span: Span; after: Place | undefined } {
  const limit = Number(query.limit ?? DEFAULT_LIMIT);
  if (limit > MAX_LIMIT) throw invalidRequest({ pointer: '#limit', detail: `expected 1 to ${MAX_LIMIT}` });
  const after = query.cursor === undefined ? undefined : decodeCursor(query.cursor);
  if (query.cursor !== undefined && after === undefined)
    throw invalidRequest({ pointer: '#cursor', detail: 'expected a nextCursor' });
  const span = {
    sinceMs: readMoment('since', query.since) ?? 0,
    untilMs: readMoment('until', query.until) ?? Number.POSITIVE_INFINITY,
  };
  return { limit, span, after };
}

/** Epoch milliseconds, or RFC 3339. */
function readMoment(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const isIso = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/i.test(text);
  const ms = /^\d{1,15}$/.test(text) ? Number(text) : isIso ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms))
    throw invalidRequest({ pointer: `#${name}`, detail: 'expected epoch milliseconds or an RFC 3339 time' });
  return ms;
}
