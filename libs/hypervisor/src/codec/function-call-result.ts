import type { TypedValue } from '@mayfly/contracts';
import { FunctionCallResult } from '../generated/function-call-result.js';
import { FunctionCallResultType } from '../generated/function-call-result-type.js';
import { GuestError } from '../generated/guest-error.js';
import { ReturnValueBox } from '../generated/return-value-box.js';
import { FlatReader } from './flat-reader.js';
import { encodeSizePrefixed } from './shared-builder.js';
import { decodeValue } from './value-decoding.js';
import { encodeValue } from './value-encoding.js';
import { RETURN_BY_TAG, RETURN_WIRE } from './wire-types.js';

/** The answer to a call, in either direction (guest-abi 7.3). */
export type FunctionCallAnswer =
  | { readonly ok: true; readonly value: TypedValue }
  | { readonly ok: false; readonly code: bigint; readonly message: string };

/** Encodes an answer. The result is a view of the shared builder: use or copy it before the next encoding. */
export function encodeFunctionCallAnswer(answer: FunctionCallAnswer): Uint8Array {
  return encodeSizePrefixed((builder) => {
    if (answer.ok) {
      const value = encodeValue(builder, answer.value, 'return');
      const box = ReturnValueBox.createReturnValueBox(builder, RETURN_WIRE[answer.value.type].tag, value);
      return FunctionCallResult.createFunctionCallResult(builder, FunctionCallResultType.ReturnValueBox, box);
    }
    const error = GuestError.createGuestError(builder, answer.code, builder.createString(answer.message));
    return FunctionCallResult.createFunctionCallResult(builder, FunctionCallResultType.GuestError, error);
  });
}

/**
 * Decodes an answer that a guest wrote. A bytes value is a view of `bytes`.
 *
 * @throws MAYFLY_ERR_GUEST_PROTOCOL.
 */
export function decodeFunctionCallAnswer(bytes: Uint8Array): FunctionCallAnswer {
  const reader = new FlatReader(bytes, 'FunctionCallResult');
  const result = reader.root();
  switch (reader.uint8(result, 0)) {
    case FunctionCallResultType.ReturnValueBox: {
      const box = reader.requiredTable(result, 1);
      const type = RETURN_BY_TAG[reader.uint8(box, 0)] ?? reader.fail('the value has no known type');
      return { ok: true, value: decodeValue(reader, reader.requiredTable(box, 1), type, 'return') };
    }
    case FunctionCallResultType.GuestError: {
      const error = reader.requiredTable(result, 1);
      return { ok: false, code: reader.uint64(error, 0), message: reader.string(error, 1) ?? '' };
    }
    default:
      return reader.fail('it holds neither a value nor an error');
  }
}
