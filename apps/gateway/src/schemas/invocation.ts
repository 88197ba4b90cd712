import { Type } from 'typebox';
import { OutcomeName, Words } from './shared.js';

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
  },
  { description: 'The receipt of the invocation' },
);

export const InvocationSchema = Type.Object({
  invocationId: Type.String(),
  state: Words(['queued', 'running', 'succeeded', 'failed', 'timed_out', 'canceled']),
  function: Type.String(),
  version: Type.Integer(),
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
  attempt: Type.Optional(Type.Integer()),
  acceptedAtMs: Type.Integer(),
  finishedAtMs: Type.Optional(Type.Integer()),
  traceId: Type.Optional(Type.String({ description: 'W3C trace id' })),
  links: Type.Object({ self: Type.String(), result: Type.String() }),
});
