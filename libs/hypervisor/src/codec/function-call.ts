import type { ParameterType, ReturnType, TypedValue } from '@mayfly/contracts';
import type { Builder, Offset } from 'flatbuffers';
import { FunctionCall } from '../generated/function-call.js';
import { FunctionCallType } from '../generated/function-call-type.js';
import { Parameter } from '../generated/parameter.js';
import { FlatReader } from './flat-reader.js';
import { encodeSizePrefixed } from './shared-builder.js';
import { decodeValue } from './value-decoding.js';
import { encodeValue } from './value-encoding.js';
import { PARAMETER_BY_TAG, PARAMETER_WIRE, RETURN_BY_DECLARED, RETURN_WIRE } from './wire-types.js';

/** A call as it travels in either direction (guest-abi 7.3). */
export interface FunctionCallData {
  readonly name: string;
  readonly args: readonly TypedValue[];
  readonly returns: ReturnType;
  /** Who is called. */
  readonly callee: 'guest' | 'host';
}

/** More than any caller has; keeps a hostile vector from growing an array. */
const MAX_PARAMETERS = 64;

/** Encodes a checked call. The result is a view of the shared builder: use or copy it before the next encoding. */
export function encodeFunctionCall(call: FunctionCallData): Uint8Array {
  return encodeSizePrefixed((builder) => {
    // An absent vector is how the ABI says "no parameters": guests check for absence (guest-abi 8.2).
    const parameters = call.args.length === 0 ? 0 : encodeParameters(builder, call.args);
    const name = builder.createString(call.name);
    FunctionCall.startFunctionCall(builder);
    FunctionCall.addFunctionName(builder, name);
    if (parameters !== 0) FunctionCall.addParameters(builder, parameters);
    FunctionCall.addFunctionCallType(
      builder,
      call.callee === 'guest' ? FunctionCallType.guest : FunctionCallType.host,
    );
    FunctionCall.addExpectedReturnType(builder, RETURN_WIRE[call.returns].declared);
    return FunctionCall.endFunctionCall(builder);
  });
}

function encodeParameters(builder: Builder, args: readonly TypedValue[]): Offset {
  const offsets = args.map((arg) =>
    Parameter.createParameter(
      builder,
      PARAMETER_WIRE[arg.type as ParameterType].tag,
      encodeValue(builder, arg, 'parameter'),
    ),
  );
  return FunctionCall.createParametersVector(builder, offsets);
}

/**
 * Decodes a call that a guest wrote.
 *
 * @returns the call; its type is as written, and whether it may be `guest` is the caller's business (guest-abi 8.3
 * has the host ignore it).
 * @throws MAYFLY_ERR_GUEST_PROTOCOL.
 */
export function decodeFunctionCall(bytes: Uint8Array): FunctionCallData {
  const reader = new FlatReader(bytes, 'FunctionCall');
  const call = reader.root();
  const args: TypedValue[] = [];
  const parameters = reader.tables(call, 1);
  if (parameters) {
    if (parameters.count > MAX_PARAMETERS)
      reader.fail(`${parameters.count} parameters; at most ${MAX_PARAMETERS}`);
    for (let index = 0; index < parameters.count; index++) {
      const parameter = reader.table(parameters.start + 4 * index);
      const type =
        PARAMETER_BY_TAG[reader.uint8(parameter, 0)] ?? reader.fail(`parameter ${index} has no known type`);
      args.push(decodeValue(reader, reader.requiredTable(parameter, 1), type, 'parameter'));
    }
  }
  return {
    name: reader.requiredString(call, 0),
    args,
    returns: RETURN_BY_DECLARED[reader.uint8(call, 3)] ?? reader.fail('unknown return type'),
    callee: reader.uint8(call, 2) === FunctionCallType.guest ? 'guest' : 'host',
  };
}
