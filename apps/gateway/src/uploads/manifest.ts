import { DEFAULT_MEMORY, LIMITS, type Manifest } from '@mayfly/contracts';
import { Value } from 'typebox/value';
import { invalidRequest, type RequestFault } from '../errors.js';
import { DEFAULT_MANIFEST } from '../registry/stored-version.js';
import { type ManifestInput, ManifestSchema } from '../schemas/manifest.js';

/** Largest manifest, as JSON. */
export const MANIFEST_BYTES = 64 * 1024;
const MAX_FAULTS = 10;

/**
 * Reads a manifest and applies the defaults. Pointers in the errors begin with `/manifest`.
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST
 */
export function parseManifest(text: string | undefined): Manifest {
  if (text === undefined) return DEFAULT_MANIFEST;
  const input = checkShape(parseJson(text));
  const entrypoints = input.entrypoints ?? {};
  const faults: RequestFault[] = [];
  if (Object.hasOwn(entrypoints, '__proto__'))
    faults.push({ pointer: '/manifest/entrypoints', detail: '__proto__ is no name' });
  if (input.default !== undefined && !Object.hasOwn(entrypoints, input.default))
    faults.push({ pointer: '/manifest/default', detail: 'expected one of the entrypoints' });
  for (const [name, { returns, contentType }] of Object.entries(entrypoints))
    if (contentType !== undefined && returns !== 'string' && returns !== 'bytes')
      faults.push({
        pointer: `/manifest/entrypoints/${escapePointer(name)}/contentType`,
        detail: 'only string and bytes have a media type',
      });
  if (faults.length > 0) throw invalidRequest(...faults);
  return {
    runtime: 'guest-abi',
    entrypoints,
    ...(input.default !== undefined && { default: input.default }),
    memory: { ...DEFAULT_MEMORY, ...input.memory },
    timeoutMs: input.timeoutMs ?? LIMITS.defaultTimeoutMs,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidRequest({ pointer: '/manifest', detail: 'expected JSON' });
  }
}

function checkShape(value: unknown): ManifestInput {
  const errors = Value.Errors(ManifestSchema, value);
  if (errors.length === 0) return value as ManifestInput;
  throw invalidRequest(
    ...errors
      // A field that no schema names is reported twice; the entry of its object says which one it is.
      .filter((error) => error.keyword !== 'boolean')
      .slice(0, MAX_FAULTS)
      .map((error) => ({ pointer: `/manifest${error.instancePath}`, detail: detailOf(error) })),
  );
}

function detailOf(error: { message: string; params: object }): string {
  const params = error.params as { additionalProperties?: string[]; allowedValues?: unknown[] };
  const named = params.additionalProperties ?? params.allowedValues;
  return named === undefined
    ? error.message
    : `${error.message}: ${named.map(String).join(', ').slice(0, 200)}`;
}

const escapePointer = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1');
