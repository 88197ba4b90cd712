import type { JsonValue, Manifest, ParameterType, ReturnType } from '@mayfly/contracts';
import { invalidRequest, notFound } from '../errors.js';
import type { StoredVersion } from '../registry/stored-version.js';
import type { InvokeBody } from '../schemas/invoke.js';
import { type Argument, isTyped, parseArguments } from './arguments.js';
import { chooseEntrypoint, signatureOf } from './entrypoint.js';
import { checkRoom, payloadBytes } from './room.js';

export interface EnvelopeCall {
  readonly entrypoint: string;
  readonly args: readonly JsonValue[];
  readonly returns: ReturnType;
  readonly timeoutMs: number;
}

/**
 * Reads the envelope of `POST /invoke` against the version's manifest. An entrypoint that the manifest does not list
 * can be called when the envelope says all itself: typed `args` and `returns`.
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST, MAYFLY_ERR_GATEWAY_NOT_FOUND, MAYFLY_ERR_GATEWAY_TOO_LARGE
 */
export function readEnvelope(body: InvokeBody, { manifest }: StoredVersion): EnvelopeCall {
  const entrypoint = chooseEntrypoint(manifest, body.entrypoint, '/entrypoint');
  const signature = signatureOf(manifest, entrypoint);
  const args = body.args ?? [];
  const returns = body.returns ?? signature?.returns;
  const timeoutMs = body.timeoutMs ?? manifest.timeoutMs;
  if (signature === undefined) {
    const hasManifest = Object.keys(manifest.entrypoints).length > 0;
    if (hasManifest && (returns === undefined || !args.every(isTyped)))
      throw notFound(`entrypoint ${entrypoint} in the manifest`);
    if (returns === undefined)
      throw invalidRequest({
        pointer: '/returns',
        detail: 'required: no signature of the entrypoint is known',
      });
    return { entrypoint, args: parseRoomy(args, undefined, manifest), returns, timeoutMs };
  }
  if (body.returns !== undefined && body.returns !== signature.returns)
    throw invalidRequest({
      pointer: '/returns',
      detail: `expected ${signature.returns} as the manifest says`,
    });
  return {
    entrypoint,
    args: parseRoomy(args, signature.params, manifest),
    returns: returns ?? signature.returns,
    timeoutMs,
  };
}

function parseRoomy(
  args: readonly Argument[],
  params: readonly ParameterType[] | undefined,
  manifest: Manifest,
): JsonValue[] {
  const parsed = parseArguments(args, params);
  checkRoom(payloadBytes(parsed), manifest);
  return parsed;
}
