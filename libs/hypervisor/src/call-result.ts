import { isMayflyError, type ReturnType } from '@mayfly/contracts';
import type { CallEnd } from './call-report.js';
import { decodeFunctionCallAnswer } from './codec/function-call-result.js';
import { fault } from './faults.js';
import { GuestCode, guestCodeName } from './guest-codes.js';
import { type GuestMemory, type PoppedElement, popElement } from './memory/io-stack.js';
import type { LayoutPart } from './memory/layout.js';

/** What a halted guest answered, and the element that held it (absent when there was none to read). */
export interface CallResult {
  readonly end: CallEnd;
  readonly element?: PoppedElement;
}

/** Takes the result of a call from the output buffer (guest-abi 8.2). */
export function readResult(memory: GuestMemory, output: LayoutPart, returns: ReturnType): CallResult {
  try {
    const element = popElement(memory, output);
    return { element, end: endOf(element.bytes, returns) };
  } catch (error) {
    if (isMayflyError(error, 'MAYFLY_ERR_GUEST_PROTOCOL')) return { end: fault('bad-result', error.message) };
    throw error;
  }
}

function endOf(bytes: Uint8Array, returns: ReturnType): CallEnd {
  const answer = decodeFunctionCallAnswer(bytes);
  if (answer.ok) {
    if (answer.value.type === returns) return { value: answer.value };
    return fault('result-type', `The guest answered with ${answer.value.type}; ${returns} was asked for`);
  }
  // Codes that the ABI does not know, however large, are UnknownError (guest-abi 7.4).
  const code = answer.code <= 0xffff_ffffn ? Number(answer.code) : GuestCode.UnknownError;
  return fault(code === GuestCode.StackOverflow ? 'guest-error-stack-overflow' : 'guest-error', {
    message: answer.message,
    guestCode: code,
    guestCodeName: guestCodeName(code),
  });
}
