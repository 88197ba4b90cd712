import { isMayflyError } from '@mayfly/contracts';
import { type CallState, CUT } from './call-state.js';
import { decodeFunctionCall } from './codec/function-call.js';
import { encodeFunctionCallAnswer, type FunctionCallAnswer } from './codec/function-call-result.js';
import type {
  DriverVm,
  GeneralRegisters,
  MemoryWrite,
  PlannedRegion,
  RegionRequest,
  RunAnswer,
  RunRequest,
} from './driver.js';
import { hypervisorError } from './errors.js';
import { abortFault } from './exit-faults.js';
import { classifyExit, type DebugExit, type IoOut, type VmExit } from './exits.js';
import { type Fault, fault } from './faults.js';
import type { FpuState } from './fpu-state.js';
import {
  answerOf,
  argumentProblem,
  HOST_PRINT,
  type HostFunctionEntry,
  type HostFunctionTable,
  hostError,
  thrownText,
} from './host-functions.js';
import { InterruptHandle } from './interrupt-handle.js';
import { LOG_LEVELS, type LogLevel, logLevelFromFilter } from './log-level.js';
import { popElement, pushElement } from './memory/io-stack.js';
import type { GuestLayout } from './memory/layout.js';
import { initialSpecialRegisters, type SpecialRegisters } from './registers.js';
import type { SharedInterrupt } from './remote-interrupt.js';
import type { CrashDumpContext, RunObserver, TraceInfo } from './run-observer.js';
import { SharedCall, type SharedCallOwner } from './shared-call.js';
import { type LoopTarget, type RunEnd, VirtualCPU } from './virtual-cpu.js';

const CALL_PORT = 101;
const ABORT_PORT = 102;

export interface HypervisorParts {
  readonly vm: DriverVm;
  readonly layout: GuestLayout;
  readonly cookie: Uint8Array;
  readonly hostFunctions: HostFunctionTable;
  /** @defaultValue what RUST_LOG asks for (guest-abi 4.4), else error */
  readonly logLevel?: LogLevel | undefined;
  readonly observer?: RunObserver | undefined;
}

/** What a driver may leave out, of what is passed on as it is. */
type OptionalOperation =
  | 'registers'
  | 'setRegisters'
  | 'fpu'
  | 'setFpu'
  | 'specialRegisters'
  | 'setSpecialRegisters'
  | 'mapRegion'
  | 'unmapRegion';

export interface InitialiseOptions {
  readonly entryPoint: number;
  readonly seed: bigint;
  readonly pageBytes: number;
  readonly timeoutMs: number;
}

export interface DispatchOptions {
  /** Absent: the guest goes on from its warm snapshot, which `restore` brings back. */
  readonly entry: Partial<GeneralRegisters> | undefined;
  readonly writes: readonly MemoryWrite[];
  /** First bring the VM back to its base snapshot. */
  readonly restore: boolean;
  readonly timeoutMs: number | undefined;
}

/** One VM in the vocabulary of the reference: initialise, dispatch, run, handle I/O, registers, interrupt handle. */
export class Hypervisor implements LoopTarget, SharedCallOwner {
  readonly #parts: HypervisorParts;
  readonly #cpu = new VirtualCPU(this);
  readonly #interrupt: InterruptHandle;
  #state: CallState | undefined;
  #preparing: CallState | undefined;
  #inCall = false;
  #shared: SharedCall | undefined;
  #sharedInterrupt: SharedInterrupt | undefined;
  #registers: GeneralRegisters | undefined;

  constructor(parts: HypervisorParts) {
    this.#parts = parts;
    const { interrupt } = parts.vm;
    this.#interrupt = new InterruptHandle({
      kill: () => this.#cut(interrupt.kill()),
      get dropped() {
        return interrupt.dropped;
      },
      share: () => this.#share(),
    });
  }

  /** Runs the guest's initialisation to its halt (guest-abi 4.3). It cannot be killed, but has its deadline. */
  async initialise(options: InitialiseOptions, state: CallState): Promise<RunEnd> {
    const { layout } = this.#parts;
    return await this.run(
      {
        entry: {
          rip: BigInt(options.entryPoint),
          rsp: BigInt(layout.stackPointer),
          rdi: BigInt(layout.peb.address),
          rsi: options.seed,
          rdx: BigInt(options.pageBytes),
          rcx: BigInt(this.maxLogLevel),
        },
        deadlineUs: Math.ceil(options.timeoutMs * 1000),
      },
      state,
    );
  }

  /** Work on an idle VM that belongs to a call already: a kill or a close during it shows in `state.cutBy`. */
  async prepareCall(state: CallState, work: () => Promise<void>): Promise<void> {
    this.#preparing = state;
    this.#shared?.begin();
    let isReady = false;
    try {
      await work();
      isReady = true;
    } finally {
      this.#preparing = undefined;
      // Else the call goes on in `dispatchCallFromHost`.
      if (!isReady || state.cutBy) this.#shared?.end();
    }
  }

  /** Calls the guest's dispatch function (guest-abi 8.2); the call is in the input buffer, or among the writes. */
  async dispatchCallFromHost(options: DispatchOptions, state: CallState): Promise<RunEnd> {
    this.#inCall = true;
    this.#shared?.begin();
    try {
      return await this.run(
        {
          restore: options.restore,
          writes: options.writes,
          ...(options.entry !== undefined && { entry: options.entry }),
          startsCall: true,
          ...(options.timeoutMs !== undefined && { deadlineUs: Math.ceil(options.timeoutMs * 1000) }),
        },
        state,
      );
    } finally {
      this.#inCall = false;
      this.#parts.vm.endCall();
      this.#shared?.end();
    }
  }

  /** Runs the guest from `request` until it halts or can go no further; `state` takes what happens on the way. */
  async run(request: RunRequest, state: CallState): Promise<RunEnd> {
    this.#state = state;
    try {
      return await this.#cpu.run(request);
    } finally {
      this.#state = undefined;
    }
  }

  /** For the loop: one request to the driver. */
  async enter(request: RunRequest): Promise<VmExit> {
    const state = this.#activeState();
    const running = this.#parts.vm.run(withTraces(this.#withDeadline(request, state), state));
    if (this.#inCall) this.#publishCall();
    const answer = await running;
    this.#registers = answer.regs;
    return this.#exitOf(answer, state);
  }

  #exitOf(answer: RunAnswer, state: CallState): VmExit {
    const problem = state.record(answer);
    // A call that was stopped stays stopped, whatever it had sent before.
    if (problem !== undefined && answer.exit.kind !== 'cancelled')
      return { kind: 'protocol', reason: problem };
    const over = answer.exit.kind === 'cancelled' ? undefined : state.overBudget;
    if (over !== undefined) return { kind: 'over-budget', reason: over };
    return classifyExit(answer.exit, () => this.#allRegions());
  }

  /** For the loop: what an observer sees of an exit. */
  handleTrace(exit: VmExit): void {
    if (this.#parts.observer?.trace && this.#registers)
      this.#parts.observer.trace(this.traceInfo(exit, this.#registers));
  }

  /** For the loop: the guest stands still until the debugger lets it go. */
  async handleDebug(exit: DebugExit): Promise<Fault | undefined> {
    const { observer } = this.#parts;
    if (!observer?.debug) return fault('unknown', `Unexpected VM Exit "debug: ${exit.reason}"`);
    await observer.debug(exit);
    return undefined;
  }

  /** For the loop: a crash dump is made while the guest stands where it crashed; then its debugger may look. */
  async handleCrash(crash: Fault): Promise<Fault> {
    const { observer } = this.#parts;
    observer?.crash?.(this.crashDumpContext(crash));
    // As in the reference, not for a stray access outside all regions.
    if (observer?.debug && crash.reason !== 'mmio') await observer.debug({ kind: 'crash', fault: crash });
    return crash;
  }

  /** For the loop: serves an OUT (guest-abi 5.1). Ports 99 and 103 are served by the driver. */
  async handleIo(exit: IoOut): Promise<readonly MemoryWrite[] | Fault> {
    switch (exit.port) {
      case CALL_PORT:
        return await this.#callHostFunction();
      case ABORT_PORT:
        return abortFault(this.#activeState().abortBytes);
      default:
        return fault('bad-port', `Invalid OutBAction value: ${exit.port}`);
    }
  }

  checkStackGuard(): boolean {
    const { vm, layout, cookie } = this.#parts;
    return Buffer.compare(vm.read(layout.stack.address, cookie.byteLength), cookie) === 0;
  }

  /** Registers of the guest at its last exit; `undefined` before the first. Without asking the driver. */
  get registers(): Readonly<GeneralRegisters> | undefined {
    return this.#registers;
  }

  /** General registers of the idle guest (`DriverVm.registers`). @throws MAYFLY_ERR_NOT_SUPPORTED. */
  async regs(): Promise<GeneralRegisters> {
    return await this.#supported('registers')();
  }

  /** From where a run without an entry goes on; those not named stay (`DriverVm.setRegisters`). */
  async setRegs(registers: Partial<GeneralRegisters>): Promise<void> {
    await this.#supported('setRegisters')(registers);
  }

  /** x87 and SSE state (`DriverVm.fpu`). */
  async fpu(): Promise<FpuState> {
    return await this.#supported('fpu')();
  }

  async setFpu(state: FpuState): Promise<void> {
    await this.#supported('setFpu')(state);
  }

  /** Segments, tables and control registers as the guest sees them (`DriverVm.specialRegisters`). */
  async sregs(): Promise<SpecialRegisters> {
    return await this.#supported('specialRegisters')();
  }

  /** @throws MAYFLY_ERR_VM_PRIVILEGE for what the guest may not have. */
  async setSregs(registers: SpecialRegisters): Promise<void> {
    await this.#supported('setSpecialRegisters')(registers);
  }

  /**
   * The special registers of the guest's first entry (guest-abi 4.1, 4.2): 64-bit mode with page tables at address 0, or
   * the start without paging, like real mode, which only a guest that runs in ring 0 can have.
   */
  async setupInitialSregs(options: { readonly paging: boolean }): Promise<void> {
    await this.setSregs(initialSpecialRegisters(options));
  }

  /** What the guest's logger sends at most, 0 Off to 5 Trace: the configured level, else what RUST_LOG asks for. */
  get maxLogLevel(): number {
    const { logLevel = logLevelFromFilter(process.env['RUST_LOG']) } = this.#parts;
    return LOG_LEVELS.indexOf(logLevel);
  }

  /** Maps memory beside the guest's own (guest-abi 1.4). @returns what was mapped, in whole pages */
  async mapRegion(region: RegionRequest): Promise<PlannedRegion> {
    return await this.#supported('mapRegion')(region);
  }

  /** @throws MAYFLY_ERR_VM_REGION when none starts at `address`. */
  async unmapRegion(address: number): Promise<void> {
    await this.#supported('unmapRegion')(address);
  }

  /** Regions that were mapped beside guest memory, ascending. */
  get mappedRegions(): readonly PlannedRegion[] {
    return this.#parts.vm.mappedRegions ?? [];
  }

  traceInfo(exit: VmExit, registers: Readonly<GeneralRegisters>): TraceInfo {
    return { exit, registers };
  }

  crashDumpContext(end: Fault): CrashDumpContext {
    const { vm } = this.#parts;
    return {
      fault: end,
      registers: this.#registers,
      regions: this.#allRegions(),
      read: (address, lengthBytes) => vm.read(address, lengthBytes),
    };
  }

  interruptHandle(): InterruptHandle {
    return this.#interrupt;
  }

  /** Another thread has killed a call, perhaps this one. */
  takeSharedKill(): void {
    if (this.#shared?.killed) this.#interrupt.kill();
  }

  #share(): SharedInterrupt {
    if (this.#sharedInterrupt === undefined) {
      const { interrupt } = this.#parts.vm;
      const driver = interrupt.share?.();
      this.#shared = new SharedCall(this);
      const call = this.#shared.words.buffer as SharedArrayBuffer;
      this.#sharedInterrupt = driver === undefined ? { call } : { call, driver };
      if (this.#inCall || this.#preparing) this.#shared.begin();
      if (this.#inCall) this.#publishCall();
      if (interrupt.dropped) this.#shared.drop();
    }
    return this.#sharedInterrupt;
  }

  /** The driver has the call: whoever kills it in another thread can have it stopped there. */
  #publishCall(): void {
    if (this.#shared === undefined) return;
    this.#shared.entered(this.#parts.vm.interrupt.sharedCall ?? 0);
    this.takeSharedKill();
  }

  /** Closes the VM; an active call ends as canceled. Idempotent. @returns pages as `DriverVm.close` */
  async close(): Promise<number> {
    this.#state?.cut('kill');
    this.#preparing?.cut('kill');
    try {
      return await this.#parts.vm.close();
    } finally {
      this.#shared?.drop();
    }
  }

  /** Regions of guest memory (guest-abi 1.1), then those beside it. */
  #allRegions(): readonly PlannedRegion[] {
    const { layout, vm } = this.#parts;
    return vm.mappedRegions?.length ? [...layout.regions, ...vm.mappedRegions] : layout.regions;
  }

  /** An optional member of the driver, bound. */
  #supported<K extends OptionalOperation>(name: K): NonNullable<DriverVm[K]> {
    const { vm } = this.#parts;
    const operation = vm[name];
    if (!operation)
      throw hypervisorError('MAYFLY_ERR_NOT_SUPPORTED', `the driver has no ${name}`, { details: { name } });
    return operation.bind(vm) as NonNullable<DriverVm[K]>;
  }

  #cut(active: boolean): boolean {
    const state = active ? this.#state : this.#preparing;
    state?.cut('kill');
    return active || state !== undefined;
  }

  /** A driver keeps the deadline of a call over its runs; outside a call each run brings what is left. */
  #withDeadline(request: RunRequest, state: CallState): RunRequest {
    if (this.#inCall || request.deadlineUs !== undefined || state.remainingMs === Number.POSITIVE_INFINITY)
      return request;
    return { ...request, deadlineUs: Math.max(1, Math.ceil(state.remainingMs * 1000)) };
  }

  async #callHostFunction(): Promise<readonly MemoryWrite[] | Fault> {
    const state = this.#activeState();
    const { vm, layout, hostFunctions } = this.#parts;
    let called: { name: string; ok: boolean; exists: boolean } | undefined;
    state.beginHostCall();
    try {
      const element = popElement(vm, layout.output);
      state.decodedBytes += element.bytes.byteLength;
      const over = state.overBudget;
      if (over !== undefined) return fault('host-budget', over);
      const { name, args } = decodeFunctionCall(element.bytes);
      const entry = hostFunctions.get(name);
      called = { name, ok: false, exists: entry !== undefined };
      const problem = entry && argumentProblem(entry.signature, args);
      let answer: FunctionCallAnswer;
      if (!entry) answer = hostError(`HostFunction ${name} was not found`);
      else if (problem !== undefined) answer = hostError(problem);
      else {
        const values = args.map((arg) => ('value' in arg ? arg.value : undefined));
        const returned = await this.#runHandler(state, name, entry, values);
        if (returned === CUT) return cutFault(state);
        if (state.overBudget !== undefined) return fault('host-budget', state.overBudget);
        answer = returned;
      }
      called.ok = answer.ok;
      return [...element.removal, ...pushElement(vm, layout.input, encodeFunctionCallAnswer(answer))];
    } catch (error) {
      if (isMayflyError(error, 'MAYFLY_ERR_GUEST_PROTOCOL')) return fault('bad-host-call', error.message);
      throw error;
    } finally {
      state.endHostCall(called?.exists ? called.name : undefined);
      if (called) state.trace?.addHostCall(called.name, called.ok);
    }
  }

  async #runHandler(
    state: CallState,
    name: string,
    entry: HostFunctionEntry,
    values: unknown[],
  ): Promise<FunctionCallAnswer | typeof CUT> {
    if (state.cutBy) return CUT;
    if (entry === HOST_PRINT) state.printed.append(values[0] as string);
    try {
      let returned = entry.handler(state.context, ...values);
      if (isThenable(returned)) returned = await state.outlast(returned);
      return returned === CUT ? CUT : answerOf(name, entry, returned);
    } catch (error) {
      return hostError(thrownText(error));
    }
  }

  #activeState(): CallState {
    if (!this.#state) throw hypervisorError('MAYFLY_ERR_SANDBOX_STATE', 'no run is under way');
    return this.#state;
  }
}

function withTraces(request: RunRequest, state: CallState): RunRequest {
  return state.trace ? { ...request, traces: true } : request;
}

/** Why a call ended that the host had cut. */
export function cutFault(state: CallState): Fault {
  switch (state.cutBy) {
    case 'deadline':
      return fault('deadline', 'The call ran into its deadline while it waited for a host function');
    case 'budget':
      return fault('host-budget', state.overBudget ?? 'The call used up its host time');
    default:
      return fault('kill', 'Execution was cancelled by the host.');
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}
