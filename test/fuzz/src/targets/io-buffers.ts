import type { MemoryWrite } from '@mayfly/hypervisor';
import { popElement, pushElement } from '../../../../libs/hypervisor/dist/memory/io-stack.js';
import { type FuzzTarget, must } from '../target.js';

const BASE_ADDRESS = 0x1000;
const MAX_POPS = 64;

/**
 * The input is a whole buffer as a guest left it. Elements are popped until one is refused, then one is pushed:
 * every read and every store must lie inside of the buffer, and the stack must shrink.
 */
export const ioBuffersTarget: FuzzTarget = {
  name: 'io-buffers',
  format: 'bytes',
  maxBytes: 256 * 1024,
  run: (input) => {
    if (input.byteLength < 8) return 'no header';
    const buffer = Uint8Array.from(input);
    const stack = { address: BASE_ADDRESS, lengthBytes: buffer.byteLength };
    const memory = {
      read: (address: number, lengthBytes: number) => {
        const offset = address - BASE_ADDRESS;
        must(Number.isSafeInteger(offset) && Number.isSafeInteger(lengthBytes), 'a read of no integer');
        must(offset >= 0 && lengthBytes >= 0 && offset + lengthBytes <= buffer.byteLength, 'a read outside');
        return buffer.slice(offset, offset + lengthBytes);
      },
    };
    const store = (writes: readonly MemoryWrite[]) => {
      for (const { address, bytes } of writes) {
        const offset = address - BASE_ADDRESS;
        must(offset >= 0 && offset + bytes.byteLength <= buffer.byteLength, 'a store outside');
        buffer.set(bytes, offset);
      }
    };
    const top = () => new DataView(buffer.buffer).getBigUint64(0, true);

    let pops = 0;
    let refusal = '';
    for (; pops < MAX_POPS; pops++) {
      const before = top();
      try {
        store(popElement(memory, stack).removal);
      } catch (error) {
        if (!ioBuffersTarget.isRefusal?.(error)) throw error;
        refusal = (error as Error).message.replaceAll(/\d+/g, '#');
        break;
      }
      must(top() < before, 'a pop does not shrink the stack');
    }
    store(pushElement(memory, stack, Uint8Array.of(4, 0, 0, 0, 1, 2, 3, 4)));
    must(popElement(memory, stack).bytes.byteLength === 8, 'what was pushed is not popped');
    return `${pops} pops, ${refusal}`;
  },
  isRefusal: (error) =>
    error instanceof Error && 'code' in error && error.code === 'MAYFLY_ERR_GUEST_PROTOCOL',
};
