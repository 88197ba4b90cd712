import type { Signature } from '@mayfly/contracts';
import { HostFunctionDefinition } from '../generated/host-function-definition.js';
import { HostFunctionDetails } from '../generated/host-function-details.js';
import { encodeSizePrefixed } from './shared-builder.js';
import { PARAMETER_WIRE, RETURN_WIRE } from './wire-types.js';

/** Encodes the list of host functions that a guest may read (guest-abi 8.1). A copy: it goes into a plan. */
export function encodeHostFunctionDetails(signatures: ReadonlyMap<string, Signature>): Uint8Array {
  return encodeSizePrefixed((builder) => {
    const definitions = [...signatures].map(([name, { params, returns }]) =>
      HostFunctionDefinition.createHostFunctionDefinition(
        builder,
        builder.createString(name),
        // Always present, even when empty (guest-abi 8.1).
        HostFunctionDefinition.createParametersVector(
          builder,
          params.map((type) => PARAMETER_WIRE[type].declared),
        ),
        RETURN_WIRE[returns].declared,
      ),
    );
    const functions = HostFunctionDetails.createFunctionsVector(builder, definitions);
    return HostFunctionDetails.createHostFunctionDetails(builder, functions);
  }).slice();
}
