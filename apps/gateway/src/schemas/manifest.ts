import { LIMITS, NAME_PATTERNS } from '@mayfly/contracts';
import { type Static, Type } from 'typebox';
import { EntrypointName, ParameterTypeName, ReturnTypeName, Strict, TimeoutMs, Words } from './shared.js';

/** Media types that a raw answer may have. None of them runs in a browser under the policy that goes with it. */
export const RAW_CONTENT_TYPES = [
  'application/json',
  'application/octet-stream',
  'application/pdf',
  'image/gif',
  'image/jpeg',
  'image/png',
  'image/svg+xml',
  'image/webp',
  'text/css',
  'text/csv',
  'text/html',
  'text/markdown',
  'text/plain',
] as const;

/** guest-abi 1: smaller buffers are raised to this by the reference host. */
const MIN_BUFFER_BYTES = 0x2000;
const PAGE_BYTES = 4096;
const MAX_ENTRYPOINTS = 256;

const bytes = (minimum: number, maximum: number) => Type.Optional(Type.Integer({ minimum, maximum }));

export const ManifestSchema = Strict(
  {
    runtime: Type.Optional(Words(['guest-abi'])),
    entrypoints: Type.Optional(
      Type.Record(
        Type.String({ pattern: NAME_PATTERNS.entrypoint }),
        Strict({
          params: Type.Array(ParameterTypeName, { maxItems: LIMITS.parameters }),
          returns: ReturnTypeName,
          contentType: Type.Optional(
            Words(RAW_CONTENT_TYPES, 'Media type of the answer of POST /invoke/{fn}'),
          ),
        }),
        { additionalProperties: false, maxProperties: MAX_ENTRYPOINTS },
      ),
    ),
    default: Type.Optional(EntrypointName),
    memory: Type.Optional(
      Strict({
        heapBytes: bytes(PAGE_BYTES, LIMITS.heapBytes),
        stackBytes: bytes(PAGE_BYTES, LIMITS.stackBytes),
        inputBytes: bytes(MIN_BUFFER_BYTES, LIMITS.inputBytes),
        outputBytes: bytes(MIN_BUFFER_BYTES, LIMITS.outputBytes),
      }),
    ),
    timeoutMs: Type.Optional(TimeoutMs),
  },
  { description: 'What a version says of itself; all of it is optional' },
);

export type ManifestInput = Static<typeof ManifestSchema>;
