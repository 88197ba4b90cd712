import { gibSeconds, MOST_USAGE_DAYS, type UsageOfDay, usageOf } from '@mayfly/queue';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { invalidRequest } from '../../errors.js';
import { mayTouch } from '../../plugins/auth.js';
import { orUnavailable } from '../../redis.js';
import { problems, Strict, Words } from '../../schemas/shared.js';
import type { Services } from '../../services.js';

const DAY_MS = 24 * 3_600_000;
const DEFAULT_DAYS = 30;

const Day = Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}$', description: 'YYYY-MM-DD, in UTC' });
const UsageQuery = Strict({
  from: Type.Optional(Day),
  to: Type.Optional(Day),
  groupBy: Type.Optional(Words(['function', 'day'], 'Absent: both')),
});
const Sums = {
  invocations: Type.Integer({ description: 'That have ended' }),
  failed: Type.Integer({ description: 'Of them, with another outcome than succeeded' }),
  cpuUs: Type.Integer(),
  gibSeconds: Type.Number({ description: 'Guest memory times run time' }),
  inputBytes: Type.Integer(),
  outputBytes: Type.Integer(),
};
const UsageSchema = Type.Object({
  from: Day,
  to: Day,
  items: Type.Array(
    Type.Object({ day: Type.Optional(Day), function: Type.Optional(Type.String()), ...Sums }),
  ),
  total: Type.Object(Sums),
});

/** `GET /v1/usage`: what the calls of the caller's tenant took; each is counted in the step that records its end. */
export function usageRoute(scope: FastifyInstance, { redis }: Services): void {
  scope.get<{ Querystring: Static<typeof UsageQuery> }>(
    '/v1/usage',
    {
      config: { scope: 'invocation:read', pattern: 'handler' },
      schema: {
        summary: 'Usage by function and day',
        description: `From \`from\` to \`to\`, both days included; the last ${DEFAULT_DAYS} days when absent.`,
        querystring: UsageQuery,
        response: { 200: UsageSchema, ...problems('4XX', '5XX') },
      },
    },
    async (request) => {
      const { groupBy } = request.query;
      const span = readSpan(request.query);
      const found = await orUnavailable(usageOf(redis, request.tenant, span));
      const days = found.filter((usage) => mayTouch(request, usage.function));
      const groups = new Map<string, UsageOfDay[]>();
      for (const usage of days) {
        const { day, function: name } = usage;
        const key = groupBy === undefined ? `${day} ${name}` : groupBy === 'day' ? day : name;
        groups.set(key, [...(groups.get(key) ?? []), usage]);
      }
      const items = [...groups.values()].map((group) => ({
        ...(groupBy !== 'function' && { day: group[0]?.day }),
        ...(groupBy !== 'day' && { function: group[0]?.function }),
        ...sum(group),
      }));
      return { from: dayText(span.fromMs), to: dayText(span.untilMs), items, total: sum(days) };
    },
  );
}

function readSpan({ from, to }: Static<typeof UsageQuery>): { fromMs: number; untilMs: number } {
  const untilMs = to === undefined ? Date.now() : readDay(to, '#to');
  const fromMs = from === undefined ? untilMs - (DEFAULT_DAYS - 1) * DAY_MS : readDay(from, '#from');
  if (fromMs > untilMs)
    throw invalidRequest({ pointer: '#from', detail: 'expected a day that is not after `to`' });
  if (untilMs - fromMs >= MOST_USAGE_DAYS * DAY_MS)
    throw invalidRequest({ pointer: '#from', detail: `expected at most ${MOST_USAGE_DAYS} days` });
  return { fromMs, untilMs };
}

function readDay(text: string, pointer: string): number {
  const ms = Date.parse(`${text}T00:00:00Z`);
  if (Number.isNaN(ms) || dayText(ms) !== text) throw invalidRequest({ pointer, detail: 'expected a day' });
  return ms;
}

const dayText = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** Memory is added up in its exact unit first, so that the parts are the whole. */
function sum(days: readonly UsageOfDay[]) {
  const of = (field: 'invocations' | 'failed' | 'cpuUs' | 'memoryMibUs' | 'inputBytes' | 'outputBytes') =>
    days.reduce((total, day) => total + day[field], 0);
  return {
    ...{ invocations: of('invocations'), failed: of('failed'), cpuUs: of('cpuUs') },
    gibSeconds: gibSeconds(of('memoryMibUs')),
    ...{ inputBytes: of('inputBytes'), outputBytes: of('outputBytes') },
  };
}
