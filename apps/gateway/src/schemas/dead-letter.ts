import { NAME_PATTERNS } from '@mayfly/contracts';
import { Type } from 'typebox';
import { FunctionName, OutcomeName, Strict, VersionNumber } from './shared.js';

/** Dead letters that one request redrives or purges. */
export const MAX_LETTERS = 1_000;
const InvocationId = Type.String({ pattern: NAME_PATTERNS.invocationId });

export const DeadLetterParams = Strict({ name: FunctionName, id: InvocationId });

const deadLetter = {
  invocationId: Type.String(),
  deadAtMs: Type.Integer(),
  version: Type.Optional(VersionNumber),
  entrypoint: Type.Optional(Type.String()),
  outcome: Type.Optional(OutcomeName),
  state: Type.Optional(Type.String({ description: 'dead_lettered, or expired: it grew too old' })),
  message: Type.Optional(Type.String()),
  attempts: Type.Optional(Type.Integer()),
  acceptedAtMs: Type.Optional(Type.Integer()),
  traceId: Type.Optional(Type.String()),
};
export const DeadLetterPage = Type.Object({
  items: Type.Array(Type.Object(deadLetter)),
  nextCursor: Type.Optional(Type.String()),
});
export const DeadLetterSchema = Type.Object({
  ...deadLetter,
  input: Type.Optional(
    Type.Unknown({
      description: 'Typed arguments or a raw body in base64; of a large input what it was kept as',
    }),
  ),
  links: Type.Object({ invocation: Type.String() }),
});

export const RedriveBody = Strict({
  ids: Type.Optional(Type.Array(InvocationId, { minItems: 1, maxItems: MAX_LETTERS, uniqueItems: true })),
  all: Type.Optional(
    Type.Literal(true, { description: `The oldest ${MAX_LETTERS}; ask again while some are left` }),
  ),
  version: Type.Optional(VersionNumber),
  ratePerSecond: Type.Optional(
    Type.Number({ exclusiveMinimum: 0, maximum: 1_000, description: 'Begun a second; 10 when absent' }),
  ),
});
export const RedriveAnswer = Type.Object({
  redriven: Type.Array(
    Type.Object({ from: Type.String(), invocationId: Type.String(), dueAtMs: Type.Integer() }),
  ),
  left: Type.Integer({ description: 'Dead letters of the function that are left' }),
});
export const PurgeAnswer = Type.Object({ purged: Type.Integer(), left: Type.Integer() });
