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
  usage: Type.Optional(
    Type.Object({
      exits: Type.Integer(),
      hostCalls: Type.Integer(),
      dirtyPages: Type.Integer(),
      source: Words(['warm', 'snapshot', 'boot']),
    }),
  ),
  logTail: Type.Optional(Type.String()),
  attempt: Type.Optional(Type.Integer()),
  acceptedAtMs: Type.Integer(),
  finishedAtMs: Type.Optional(Type.Integer()),
  links: Type.Object({ self: Type.String(), result: Type.String() }),
});
