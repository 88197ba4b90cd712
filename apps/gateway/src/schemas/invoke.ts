import { LIMITS } from '@mayfly/contracts';
import { type Static, Type } from 'typebox';
import { TimingsSchema, UsageSchema } from './invocation.js';
import {
  AliasName,
  EntrypointName,
  FunctionName,
  ParameterTypeName,
  QualifierText,
  ReturnTypeName,
  Strict,
  TimeoutMs,
  VersionNumber,
} from './shared.js';

const ArgumentSchema = Type.Union(
  [
    Strict({
      type: ParameterTypeName,
      value: Type.Union([Type.Number(), Type.String(), Type.Boolean()]),
    }),
    Type.Number(),
    Type.String(),
    Type.Boolean(),
  ],
  {
    description:
      '64-bit integers may be decimal strings, non-finite numbers are NaN, Infinity or -Infinity as strings, bytes are base64. Without its type only where the manifest has the signature.',
  },
);

export const InvokeBodySchema = Strict({
  function: FunctionName,
  version: Type.Optional(VersionNumber),
  qualifier: Type.Optional(QualifierText),
  entrypoint: Type.Optional(EntrypointName),
  args: Type.Optional(Type.Array(ArgumentSchema, { maxItems: LIMITS.parameters })),
  returns: Type.Optional(ReturnTypeName),
  timeoutMs: Type.Optional(TimeoutMs),
});

export type InvokeBody = Static<typeof InvokeBodySchema>;

export const InvokeAnswer = Type.Object({
  result: Type.Object({
    type: ReturnTypeName,
    value: Type.Optional(Type.Union([Type.Number(), Type.String(), Type.Boolean()])),
  }),
  invocationId: Type.String(),
  function: FunctionName,
  version: VersionNumber,
  alias: Type.Optional(AliasName),
  timings: TimingsSchema,
  usage: UsageSchema,
});

export const RawQuery = Strict({
  entrypoint: Type.Optional(EntrypointName),
  timeoutMs: Type.Optional(Type.String({ description: 'As in the envelope' })),
});
