import { encodeFunctionCall, type FunctionCallData } from './codec/function-call.js';
import { largestElementBytes } from './memory/io-stack.js';

/** More than names, types and alignment add to the bytes of the arguments. */
const SLACK_BYTES = 4096;

/**
 * Whether a checked call of a guest function fits an empty input buffer, encoded. Pure: loads no driver.
 *
 * @param payloadBytes Of the strings and byte arrays among the arguments: the call is only encoded where these leave
 * it open.
 */
export function fitsInput(
  inputBytes: number,
  payloadBytes: number,
  call: () => Omit<FunctionCallData, 'callee'>,
): boolean {
  const limitBytes = largestElementBytes({ address: 0, lengthBytes: inputBytes });
  if (payloadBytes > limitBytes) return false;
  if (payloadBytes + SLACK_BYTES <= limitBytes) return true;
  return encodeFunctionCall({ ...call(), callee: 'guest' }).byteLength <= limitBytes;
}
