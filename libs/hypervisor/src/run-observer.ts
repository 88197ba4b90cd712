import type { GeneralRegisters, PlannedRegion } from './driver.js';
import type { VmExit } from './exits.js';
import type { Fault } from './faults.js';

/** What a trace or a debugger sees of an exit, before it is served (where the reference has `handle_trace`). */
export interface TraceInfo {
  readonly exit: VmExit;
  /** Of the guest at the exit; R8 to R10 carry a trace batch where a guest sends one (guest-abi 11). */
  readonly registers: Readonly<GeneralRegisters>;
}

/** What a crash dump is made of. Valid until `crash` returns: then the VM goes on to its next call. */
export interface CrashDumpContext {
  readonly fault: Fault;
  /** At the last exit; `undefined` when the guest was never entered. */
  readonly registers: Readonly<GeneralRegisters> | undefined;
  readonly regions: readonly PlannedRegion[];
  /** A copy of guest memory. @throws MAYFLY_ERR_VM_RANGE. */
  read(address: number, lengthBytes: number): Uint8Array;
}

/**
 * Looks on while a guest runs: for tracing, crash dumps, debuggers. Called on the event loop, in between exits; what
 * it takes is time of the call. Must not throw.
 */
export interface RunObserver {
  /** Each exit that reaches the loop. */
  readonly trace?: (info: TraceInfo) => void;
  /** A run that ended neither by a halt nor by kill or deadline, before anything is restored. */
  readonly crash?: (context: CrashDumpContext) => void;
}
