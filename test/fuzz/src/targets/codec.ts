import { isDeepStrictEqual } from 'node:util';
import {
  decodeFunctionCall,
  encodeFunctionCall,
} from '../../../../libs/hypervisor/dist/codec/function-call.js';
import {
  decodeFunctionCallAnswer,
  encodeFunctionCallAnswer,
} from '../../../../libs/hypervisor/dist/codec/function-call-result.js';
import { decodeGuestLog } from '../../../../libs/hypervisor/dist/codec/guest-log.js';
import { type FuzzTarget, must } from '../target.js';

/** A guest's answer. What decodes must survive being encoded again. */
export const resultTarget: FuzzTarget = {
  name: 'call-result',
  format: 'bytes',
  run: (input) => {
    const answer = decodeFunctionCallAnswer(input);
    const again = decodeFunctionCallAnswer(Uint8Array.from(encodeFunctionCallAnswer(answer)));
    must(isDeepStrictEqual(again, answer), 'the answer changes when it is encoded again');
    return answer.ok ? `value ${answer.value.type}` : `error ${Math.min(20, Number(answer.code))}`;
  },
};

/** A call of a host function. */
export const hostCallTarget: FuzzTarget = {
  name: 'host-call',
  format: 'bytes',
  run: (input) => {
    const call = decodeFunctionCall(input);
    const again = decodeFunctionCall(Uint8Array.from(encodeFunctionCall(call)));
    must(isDeepStrictEqual(again, call), 'the call changes when it is encoded again');
    return `${call.callee} ${call.returns} of ${call.args.map(({ type }) => type)}`;
  },
};

/** A log record. */
export const logTarget: FuzzTarget = {
  name: 'log',
  format: 'bytes',
  run: (input) => {
    const record = decodeGuestLog(input);
    const texts = [record.message, record.source, record.caller, record.sourceFile];
    must(
      texts.every((text) => Buffer.byteLength(text) <= input.byteLength),
      'a text is longer than the record',
    );
    return `${record.level} ${texts.map((text) => text.length === 0)}`;
  },
};
