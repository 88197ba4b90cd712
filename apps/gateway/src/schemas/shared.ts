import { LIMITS, NAME_PATTERNS, OUTCOMES, PARAMETER_TYPES, RETURN_TYPES } from '@mayfly/contracts';
import { type TProperties, Type } from 'typebox';

/** An object that refuses fields it does not name. */
export const Strict = <T extends TProperties>(properties: T, options: { description?: string } = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options });

export const Words = <const T extends readonly string[]>(words: T, description?: string) =>
  Type.Unsafe<T[number]>({
    type: 'string',
    enum: [...words],
    ...(description !== undefined && { description }),
  });

export const FunctionName = Type.String({
  pattern: NAME_PATTERNS.function,
  description: 'Letters, digits, - and _',
});
export const EntrypointName = Type.String({
  minLength: 1,
  maxLength: LIMITS.entrypointNameLength,
  pattern: NAME_PATTERNS.entrypoint,
  description: 'Exported name of the guest function',
});
export const VersionNumber = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });
export const AliasName = Type.String({
  pattern: NAME_PATTERNS.alias,
  description: 'Begins with a letter; letters, digits, - and _',
});
export const QualifierText = Type.String({
  pattern: `^(?:[1-9][0-9]{0,14}|${NAME_PATTERNS.alias.slice(1, -1)})$`,
  description: "A version's number, the name of an alias, or latest",
});
export const TimeoutMs = Type.Integer({
  minimum: 1,
  maximum: LIMITS.timeoutMs,
  description: 'Guest time; the queue does not count',
});
export const ParameterTypeName = Words(PARAMETER_TYPES);
export const ReturnTypeName = Words(RETURN_TYPES);
export const OutcomeName = Words(Object.keys(OUTCOMES) as (keyof typeof OUTCOMES)[]);

/** Name of a function, or name and version, as a path takes it; the version stays text there. */
export const FunctionParams = Strict({ name: FunctionName });
export const VersionParams = Strict({
  name: FunctionName,
  version: Type.String({ pattern: '^[1-9][0-9]{0,14}$' }),
});
export const AliasParams = Strict({ name: FunctionName, alias: AliasName });
/** Changes that alter what is there. */
export const ConditionalHeaders = Type.Object({
  'if-match': Type.Optional(
    Type.String({ description: 'ETag of what is changed, or *; required where there is something' }),
  ),
  'if-none-match': Type.Optional(Type.String({ description: '*: only where there is nothing yet' })),
});
export const BatchParams = Strict({ id: Type.String({ pattern: NAME_PATTERNS.batchId }) });
export const InvocationParams = Strict({ id: Type.String({ pattern: NAME_PATTERNS.invocationId }) });

export const Problem = Type.Object(
  {
    type: Type.String({ description: 'urn:mayfly:problem:{code}' }),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String({ description: 'For an ended invocation, its outcome' }),
    origin: Words(['client', 'tenant', 'platform', 'guest']),
    retryable: Type.Boolean(),
    detail: Type.String(),
    retryAfterMs: Type.Optional(Type.Integer()),
    instance: Type.Optional(Type.String()),
    invocationId: Type.Optional(Type.String()),
    function: Type.Optional(Type.String()),
    version: Type.Optional(Type.Integer()),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          pointer: Type.String({
            description: 'JSON pointer into the body; #name for a parameter or header',
          }),
          detail: Type.String(),
        }),
      ),
    ),
    limit: Type.Optional(
      Type.Object({
        name: Type.String(),
        value: Type.Number(),
        current: Type.Optional(Type.Number({ description: 'What is used, or was asked for' })),
      }),
    ),
    aliases: Type.Optional(Type.Array(Type.String(), { description: 'That use what was to be deleted' })),
    guestCode: Type.Optional(Type.Integer()),
    guestCodeName: Type.Optional(Type.String()),
    message: Type.Optional(Type.String()),
    vector: Type.Optional(Type.String()),
    rip: Type.Optional(Type.String()),
    address: Type.Optional(Type.String()),
    logTail: Type.Optional(Type.String()),
    traceId: Type.Optional(Type.String({ description: 'W3C trace id' })),
    usage: Type.Optional(Type.Object({}, { additionalProperties: true, description: 'As in the record' })),
    timings: Type.Optional(
      Type.Record(Type.String(), Type.Number(), { description: 'Microseconds, as in the record' }),
    ),
  },
  { description: 'RFC 9457' },
);

/** Headers of a GET that may wait and be asked again. */
export const WaitHeaders = Type.Object({
  prefer: Type.Optional(Type.String({ description: 'wait=N (RFC 7240): seconds to wait for the end' })),
  'if-none-match': Type.Optional(Type.String({ description: 'The ETag of an earlier answer' })),
});

export const NotModified = Type.Null({ description: 'As the client has it' });

const problemContent = { 'application/problem+json': { schema: Problem } };
export const problems = (...statuses: readonly string[]) =>
  Object.fromEntries(statuses.map((status) => [status, { description: 'Problem', content: problemContent }]));
