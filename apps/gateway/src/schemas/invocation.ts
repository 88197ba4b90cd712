import { Type } from 'typebox';
import { FunctionName, OutcomeName, Strict, Words } from './shared.js';
import { CallbackSchema } from './webhook-secret.js';

export const TimingsSchema = Type.Object(
  {
    queueUs: Type.Number(),
    acquireUs: Type.Number(),
    restoreUs: Type.Number(),
    runUs: Type.Number(),
    resultUs: Type.Number(),
    totalUs: Type.Number(),
  },
  { description: 'Microseconds' },
);

export const UsageSchema = Type.Object(
  {
    // Records of a week ago have none.
    cpuUs: Type.Optional(Type.Integer({ description: 'Microseconds on the vCPU' })),
    exits: Type.Integer({ description: 'VM exits' }),
    hostCalls: Type.Integer(),
    dirtyPages: Type.Integer({ description: 'Pages that the restore before the run copied back' }),
    source: Words(['warm', 'snapshot', 'boot']),
    memoryMibUs: Type.Optional(Type.Integer({ description: 'Guest memory times run time, MiB·µs' })),
    inputBytes: Type.Optional(Type.Integer()),
    outputBytes: Type.Optional(Type.Integer()),
  },
  { description: 'The receipt of the invocation' },
);

export const INVOCATION_STATES = [
  'queued',
  'starting',
  'running',
  'succeeded',
  'failed',
  'timed_out',
  'canceled',
  'expired',
  'dead_lettered',
] as const;

const AttemptSchema = Type.Object({
  attempt: Type.Integer(),
  workerId: Type.String(),
  version: Type.Integer(),
  startedAtMs: Type.Integer(),
  finishedAtMs: Type.Integer(),
  outcome: OutcomeName,
  detail: Type.Optional(Type.String()),
  timings: Type.Optional(TimingsSchema),
});

const MOMENT = 'Accepted from then on (since) or before (until): epoch milliseconds or RFC 3339';

export const InvocationSchema = Type.Object({
  invocationId: Type.String(),
  state: Words(INVOCATION_STATES),
  function: Type.String(),
  version: Type.Integer(),
  alias: Type.Optional(Type.String({ description: 'That chose the version' })),
  entrypoint: Type.String(),
  outcome: Type.Optional(OutcomeName),
  detail: Type.Optional(
    Type.Object({
      message: Type.String(),
      guestCode: Type.Optional(Type.Integer()),
      guestCodeName: Type.Optional(Type.String()),
      vector: Type.Optional(Type.String()),
      rip: Type.Optional(Type.String()),
      address: Type.Optional(Type.String()),
    }),
  ),
  timings: Type.Optional(TimingsSchema),
  usage: Type.Optional(UsageSchema),
  logTail: Type.Optional(Type.String()),
  attempt: Type.Optional(Type.Integer({ description: 'The one that is under way, or was the last' })),
  attempts: Type.Optional(Type.Array(AttemptSchema, { description: 'Those that have ended, oldest first' })),
  nextAttemptAtMs: Type.Optional(Type.Integer({ description: 'When it is queued for its next attempt' })),
  origin: Type.Optional(Type.String({ description: 'The dead letter that it was made from' })),
  acceptedAtMs: Type.Integer(),
  finishedAtMs: Type.Optional(Type.Integer()),
  traceId: Type.Optional(Type.String({ description: 'W3C trace id' })),
  callback: Type.Optional(CallbackSchema),
  links: Type.Object({ self: Type.String(), result: Type.String(), logs: Type.String() }),
});

export const InvocationQuery = Strict({
  function: Type.Optional(FunctionName),
  state: Type.Optional(Words(INVOCATION_STATES)),
  since: Type.Optional(Type.String({ maxLength: 64, description: MOMENT })),
  until: Type.Optional(Type.String({ maxLength: 64, description: MOMENT })),
  traceId: Type.Optional(Type.String({ pattern: '^[0-9a-f]{32}$' })),
  limit: Type.Optional(
    Type.String({ pattern: '^[1-9][0-9]{0,2}$', description: '1 to 200; 50 when absent' }),
  ),
  cursor: Type.Optional(Type.String({ maxLength: 256, description: 'nextCursor of the page before' })),
});

export const InvocationPage = Type.Object({
  items: Type.Array(InvocationSchema, { description: 'Without log tails' }),
  nextCursor: Type.Optional(
    Type.String({ description: 'There may be more, also after a page with few items or none' }),
  ),
});
