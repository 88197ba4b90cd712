import type { GeneralRegisters, PlannedRegion } from './driver.js';
import type { DebugExit, VmExit } from './exits.js';
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
  /** Of guest memory, then those that were mapped beside it. */
  readonly regions: readonly PlannedRegion[];
  /** A copy of guest memory, or of a mapped region. @throws MAYFLY_ERR_VM_RANGE. */
  read(address: number, lengthBytes: number): Uint8Array;
}

/** Why a guest stands still for its debugger (guest-abi 12.2): it was stopped, or it crashed and will not go on. */
export type DebugStop = DebugExit | { readonly kind: 'crash'; readonly fault: Fault };

/**
 * Looks on while a guest runs: for tracing, crash dumps, debuggers. Called on the event loop, in between exits; what
 * it takes is time of the call. Must not throw.
 */
export interface RunObserver {
  /** Each exit that reaches the loop, before it is served. */
  readonly trace?: (info: TraceInfo) => void;
  /**
   * A guest that crashed, before anything is restored: a forbidden access, an exception that nothing in the guest takes,
   * a triple fault, an exit that nobody knows (guest-abi 12.1). Aborts, kills and deadlines are none.
   */
  readonly crash?: (context: CrashDumpContext) => void;
  /** The guest stands still until this settles. Without it, a stop for a debugger is an exit that nobody knows. */
  readonly debug?: (stop: DebugStop) => Promise<void>;
}
