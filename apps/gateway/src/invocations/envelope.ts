import type { JsonValue, Manifest, ReturnType } from '@mayfly/contracts';
import { invalidRequest, notFound } from '../errors.js';
import type { InvokeBody } from '../schemas/invoke.js';
import { isTyped, parseArguments } from './arguments.js';
import { chooseEntrypoint, signatureOf } from './entrypoint.js';
import { parseQualifier, type Qualifier } from './qualifier.js';
import { checkRoom, payloadBytes, typedValues } from './room.js';

export interface EnvelopeCall {
  readonly entrypoint: string;
  readonly args: readonly JsonValue[];
  readonly returns: ReturnType;
}

/** Which version the envelope names. @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST when it names it twice. */
export function qualifierOf({ version, qualifier }: InvokeBody): Qualifier {
  if (qualifier === undefined) return { version };
  if (version !== undefined)
    throw invalidRequest({ pointer: '/qualifier', detail: 'expected one of version and qualifier' });
  return parseQualifier(qualifier);
}

/**
 * Reads the envelope of `POST /invoke` against the version's manifest. An entrypoint that the manifest does not list
 * can be called when the envelope says all itself: typed `args` and `returns`.
 * @throws MAYFLY_ERR_GATEWAY_INVALID_REQUEST, MAYFLY_ERR_GATEWAY_NOT_FOUND, MAYFLY_ERR_GATEWAY_TOO_LARGE
 */
export function readEnvelope(body: InvokeBody, manifest: Manifest): EnvelopeCall {
  const entrypoint = chooseEntrypoint(manifest, body.entrypoint, '/entrypoint');
  const signature = signatureOf(manifest, entrypoint);
  const args = body.args ?? [];
  const returns = body.returns ?? signature?.returns;
  if (signature === undefined) {
    const hasManifest = Object.keys(manifest.entrypoints).length > 0;
    if (hasManifest && (returns === undefined || !args.every(isTyped)))
      throw notFound(`entrypoint ${entrypoint} in the manifest`);
    if (returns === undefined)
      throw invalidRequest({
        pointer: '/returns',
        detail: 'required: no signature of the entrypoint is known',
      });
    return roomy({ entrypoint, args: parseArguments(args, undefined), returns }, manifest);
  }
  if (body.returns !== undefined && body.returns !== signature.returns)
    throw invalidRequest({
      pointer: '/returns',
      detail: `expected ${signature.returns} as the manifest says`,
    });
  const parsed = parseArguments(args, signature.params);
  return roomy({ entrypoint, args: parsed, returns: returns ?? signature.returns }, manifest);
}

function roomy(call: EnvelopeCall, manifest: Manifest): EnvelopeCall {
  const { entrypoint, returns, args } = call;
  checkRoom(
    { entrypoint, returns, payloadBytes: payloadBytes(args), args: () => typedValues(args) },
    manifest,
  );
  return call;
}
