import { decodeAbort, isOutOfMemory, MAX_ABORT_BYTES } from '../../../../libs/hypervisor/dist/abort.js';
import { type FuzzTarget, must } from '../target.js';

/** Bytes that a guest sent to the abort port. */
export const abortTarget: FuzzTarget = {
  name: 'abort',
  format: 'bytes',
  maxBytes: 2 * MAX_ABORT_BYTES,
  run: (input) => {
    const abort = decodeAbort(input);
    must(Number.isInteger(abort.code) && abort.code >= 0 && abort.code <= 255, 'the code is no byte');
    must(abort.message.length <= MAX_ABORT_BYTES + 100, 'the message is longer than what was sent');
    return `${abort.vector ?? `code ${abort.code}`} ${isOutOfMemory(abort)}`;
  },
};
