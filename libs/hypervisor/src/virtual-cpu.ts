import type { MemoryWrite, RunRequest } from './driver.js';
import { accessFault, exceptionFault, instructionFault } from './exit-faults.js';
import type { DebugExit, IoOut, VmExit } from './exits.js';
import { type Fault, fault, hex } from './faults.js';

/** What the loop needs of a VM. */
export interface LoopTarget {
  /** One request to the driver: enters the guest and settles with the next exit that somebody must see. */
  enter(request: RunRequest): Promise<VmExit>;
  /** Sees each exit before it is served (guest-abi 11.2). */
  handleTrace(exit: VmExit): void;
  /** Serves an OUT (guest-abi 5.1): stores to make before the guest goes on, or why it does not. */
  handleIo(exit: IoOut): Promise<readonly MemoryWrite[] | Fault>;
  /** Lets a debugger look at a guest that stands still (guest-abi 12.2). @returns why the guest does not go on */
  handleDebug(exit: DebugExit): Promise<Fault | undefined>;
  /** Looks at a guest that crashed, for dumps and debuggers (guest-abi 12). @returns `crash` */
  handleCrash(crash: Fault): Promise<Fault>;
  /** Whether the cookie below the stack is intact (guest-abi 1.5). */
  checkStackGuard(): boolean;
}

/** The guest executed `hlt`: initialisation or a call has ended as it should. */
export const HALTED = { reason: 'halted' } as const;
export type RunEnd = typeof HALTED | Fault;

/**
 * The vCPU as the reference describes it: enter, look at the exit, serve it, enter again. One switch, the same for
 * every driver, and the only place where an exit becomes an outcome.
 */
export class VirtualCPU {
  readonly #target: LoopTarget;

  constructor(target: LoopTarget) {
    this.#target = target;
  }

  /** Runs the guest until it halts or can go no further. Rejects only for faults of the host or the caller. */
  async run(first: RunRequest): Promise<RunEnd> {
    const target = this.#target;
    let request = first;
    for (;;) {
      const exit = await target.enter(request);
      target.handleTrace(exit);
      switch (exit.kind) {
        case 'halt':
          return HALTED;
        case 'io-out': {
          const served = await target.handleIo(exit);
          if ('reason' in served) return served;
          request = { writes: served };
          break;
        }
        case 'debug': {
          const ended = await target.handleDebug(exit);
          if (ended) return ended;
          request = {};
          break;
        }
        case 'retry':
          request = {};
          break;
        case 'io-in':
          return fault('bad-port', `The guest read port ${exit.port}; the guest ABI has no input ports`);
        case 'cancelled':
          return cancelledFault(exit.by);
        case 'over-budget':
          return fault('host-budget', exit.reason);
        case 'protocol':
          return fault('bad-outbox', exit.reason);
        default:
          return await target.handleCrash(crashFault(exit, target));
      }
    }
  }
}

function cancelledFault(by: 'kill' | 'deadline' | 'revoke'): Fault {
  switch (by) {
    case 'kill':
      return fault('kill', 'Execution was cancelled by the host.');
    case 'deadline':
      return fault('deadline', 'The guest ran into its deadline and was stopped');
    case 'revoke':
      return fault('revoked', 'The call was taken off its slot before it began');
  }
}

type Crash = Extract<
  VmExit,
  { kind: 'access-violation' | 'mmio' | 'exception' | 'unsupported-instruction' | 'shutdown' | 'unknown' }
>;

/** What the CPU reports of a guest that it can run no further. */
function crashFault(exit: Crash, target: LoopTarget): Fault {
  switch (exit.kind) {
    case 'access-violation':
      return accessFault(exit);
    case 'mmio': {
      const address = hex(exit.address);
      return target.checkStackGuard()
        ? fault('mmio', { message: `MMIO access address ${address}`, address })
        : fault('stack-cookie', 'Stack overflow detected');
    }
    case 'exception':
      return exceptionFault(exit);
    case 'unsupported-instruction':
      return instructionFault(exit);
    case 'shutdown':
      return fault('shutdown', {
        message: 'Triple fault: the guest shut its CPU down',
        vector: 'DoubleFault',
      });
    case 'unknown':
      return fault('unknown', `Unexpected VM Exit "${exit.reason}"`);
  }
}
