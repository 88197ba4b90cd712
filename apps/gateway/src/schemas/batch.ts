import { type Static, Type } from 'typebox';
import { INVOCATION_STATES } from './invocation.js';
import { InvokeBodySchema } from './invoke.js';
import { FunctionName, Problem, Strict } from './shared.js';

const { function: _, ...fields } = InvokeBodySchema.properties;

/** One call of a batch: the envelope of `POST /invoke` without the function, which the path names. */
export const BatchItemSchema = Strict(fields);
export type BatchItem = Static<typeof BatchItemSchema>;

const Index = Type.Integer({ description: 'Of the call in the batch, from 0' });

export const BatchLineSchema = Type.Object(
  {
    index: Index,
    status: Type.Integer({ description: 'As POST /invoke would have answered' }),
    outcome: Type.Optional(Type.String()),
    invocationId: Type.Optional(Type.String()),
    version: Type.Optional(Type.Integer()),
    replayed: Type.Optional(Type.Boolean()),
    result: Type.Optional(Type.Unknown()),
    problem: Type.Optional(Problem),
  },
  { description: 'A line of application/x-ndjson for each call, as they finish' },
);

export const BatchAccepted = Type.Object({
  batchId: Type.String(),
  invocations: Type.Array(
    Type.Object({
      index: Index,
      invocationId: Type.Optional(Type.String()),
      replayed: Type.Optional(Type.Boolean()),
      problem: Type.Optional(Problem),
    }),
  ),
  links: Type.Object({ self: Type.String() }),
});

export const BatchSchema = Type.Object({
  batchId: Type.String(),
  function: FunctionName,
  createdAtMs: Type.Integer(),
  total: Type.Integer(),
  refused: Type.Integer({ description: 'Calls that were not accepted' }),
  pending: Type.Integer({ description: 'Calls that have not ended' }),
  counts: Type.Record(Type.String(), Type.Integer(), {
    description: `Ended calls by state: ${INVOCATION_STATES.slice(3).join(', ')}`,
  }),
  done: Type.Boolean(),
  invocationIds: Type.Array(Type.String()),
  links: Type.Object({ self: Type.String() }),
});
