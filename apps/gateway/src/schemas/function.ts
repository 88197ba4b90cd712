import { Type } from 'typebox';
import { FunctionName, ParameterTypeName, ReturnTypeName, VersionNumber } from './shared.js';

const ManifestView = Type.Object({
  runtime: Type.String(),
  entrypoints: Type.Record(
    Type.String(),
    Type.Object({
      params: Type.Array(ParameterTypeName),
      returns: ReturnTypeName,
      contentType: Type.Optional(Type.String()),
    }),
  ),
  default: Type.Optional(Type.String()),
  memory: Type.Object({
    heapBytes: Type.Integer(),
    stackBytes: Type.Integer(),
    inputBytes: Type.Integer(),
    outputBytes: Type.Integer(),
  }),
  timeoutMs: Type.Integer(),
});

export const VersionSchema = Type.Object({
  function: FunctionName,
  version: VersionNumber,
  sha256: Type.String({ description: 'Of the binary, in hex' }),
  sizeBytes: Type.Integer(),
  manifest: ManifestView,
  createdAtMs: Type.Integer(),
});

export const FunctionSchema = Type.Object({
  name: FunctionName,
  latestVersion: VersionNumber,
  versions: Type.Array(VersionNumber),
  aliases: Type.Record(Type.String(), Type.Record(Type.String(), Type.Integer()), {
    description: 'Their weights, by name',
  }),
  configEtag: Type.String({ description: 'ETag of the configuration' }),
  createdAtMs: Type.Integer(),
  updatedAtMs: Type.Integer(),
});

export const PageQuery = Type.Object(
  {
    limit: Type.Optional(
      Type.String({ pattern: '^[1-9][0-9]{0,2}$', description: '1 to 200; 50 when absent' }),
    ),
    cursor: Type.Optional(Type.String({ maxLength: 256, description: 'nextCursor of the page before' })),
  },
  { additionalProperties: false },
);

export const FunctionPage = Type.Object({
  items: Type.Array(FunctionSchema),
  nextCursor: Type.Optional(Type.String()),
});

export const VersionList = Type.Object({ items: Type.Array(VersionSchema) });
