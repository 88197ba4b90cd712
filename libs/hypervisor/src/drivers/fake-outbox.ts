import { isMayflyError } from '@mayfly/contracts';
import { MAX_ABORT_BYTES } from '../abort.js';
import type { DriverExit, OutboxEntry } from '../driver.js';
import { popElement } from '../memory/io-stack.js';
import type { FakeMachine } from './fake-machine.js';

const LOG_PORT = 99;
const ABORT_PORT = 102;
const DEBUG_PRINT_PORT = 103;
const TRACE_PORT = 104;
const HEAP_ALLOCATED_PORT = 105;
const HEAP_FREED_PORT = 106;
const ABORT_END = 0xff;
const MAX_ENTRIES = 1024;
const MAX_TRACE_BYTES = 64 * 1024;

/** The ports that a driver serves on its own when the plan has an output buffer (guest-abi 5.1, 5.2). */
export class FakeOutbox {
  #entries: OutboxEntry[] = [];
  #dropped = 0;
  #abort: number[] = [];
  #traces = false;
  #lastTrace: Uint8Array | undefined;
  tracesDropped = 0;
  heapEvents = 0;

  /** @param start `fresh`: an entry from outside, which forgets an abort that was begun before it */
  begin(start: { readonly fresh: boolean; readonly traces?: boolean | undefined }): void {
    this.#entries = [];
    this.#dropped = 0;
    this.#traces = start.traces === true;
    this.#lastTrace = undefined;
    this.tracesDropped = 0;
    this.heapEvents = 0;
    if (start.fresh) this.#abort = [];
  }

  get entries(): readonly OutboxEntry[] {
    return this.#entries;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /**
   * @returns `undefined` when the guest goes on, else the exit; an OUT for somebody outside is returned as it came.
   */
  serve(machine: FakeMachine, out: Extract<DriverExit, { kind: 'io-out' }>): DriverExit | undefined {
    const buffer = machine.plan.outputBuffer;
    if (!buffer) return out;
    this.takeTrace(machine);
    switch (out.port) {
      case LOG_PORT:
        try {
          const element = popElement(
            { read: (address, length) => machine.hostRead(address, length) },
            buffer,
          );
          this.#push(LOG_PORT, element.bytes);
          for (const write of element.removal) machine.hostWrite(write);
          return undefined;
        } catch (error) {
          if (isMayflyError(error)) return { kind: 'protocol', reason: `log: ${error.message}` };
          throw error;
        }
      case ABORT_PORT:
        return this.#takeAbort(out);
      case DEBUG_PRINT_PORT: {
        const bytes = new Uint8Array(4);
        new DataView(bytes.buffer).setUint32(0, out.value, true);
        this.#push(DEBUG_PRINT_PORT, bytes);
        return undefined;
      }
      case TRACE_PORT:
        return undefined;
      case HEAP_ALLOCATED_PORT:
      case HEAP_FREED_PORT:
        this.heapEvents++;
        return undefined;
      default:
        return out;
    }
  }

  /** Keeps the batch that the registers of an OUT or a halt name (guest-abi 11.1). */
  takeTrace(machine: FakeMachine): void {
    const { r8, r9, r10 } = machine.regs;
    if (!this.#traces || r8 !== BigInt(TRACE_PORT)) return;
    const [address, length] = [Number(r9), Number(r10)];
    if (length === 0 || length > MAX_TRACE_BYTES || !machine.holds(address, length)) {
      this.tracesDropped++;
      return;
    }
    const bytes = machine.hostRead(address, length);
    if (this.#lastTrace && Buffer.compare(this.#lastTrace, bytes) === 0) return;
    this.#lastTrace = bytes;
    if (this.#entries.length < MAX_ENTRIES) this.#entries.push({ port: TRACE_PORT, bytes });
    else this.tracesDropped++;
  }

  #takeAbort(out: Extract<DriverExit, { kind: 'io-out' }>): DriverExit | undefined {
    const count = Math.min(out.value & 0xff, 3);
    for (let index = 1; index <= count; index++) {
      const byte = (out.value >>> (8 * index)) & 0xff;
      if (byte === ABORT_END) return this.#endAbort(out, Uint8Array.from(this.#abort));
      if (this.#abort.length === MAX_ABORT_BYTES)
        return this.#endAbort(out, Buffer.from('\0Guest abort buffer overflowed'));
      this.#abort.push(byte);
    }
    return undefined;
  }

  #endAbort(out: DriverExit, bytes: Uint8Array): DriverExit {
    this.#entries.push({ port: ABORT_PORT, bytes });
    this.#abort = [];
    return out;
  }

  #push(port: number, bytes: Uint8Array): void {
    if (this.#entries.length < MAX_ENTRIES) this.#entries.push({ port, bytes: bytes.slice() });
    else this.#dropped++;
  }
}
