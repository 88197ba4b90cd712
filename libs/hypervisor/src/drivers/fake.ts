import type {
  DriverExit,
  DriverInterrupt,
  DriverSnapshot,
  DriverVm,
  GeneralRegisters,
  HypervisorDriver,
  PlannedRegion,
  PrimeRequest,
  RegionRequest,
  RunAnswer,
  RunRequest,
  VmPlan,
} from '../driver.js';
import { hypervisorError } from '../errors.js';
import { type FpuState, resetFpuState } from '../fpu-state.js';
import { entryRegisters, GENERAL_REGISTERS } from '../general-registers.js';
import type { SpecialRegisters } from '../registers.js';
import { exceptionExit, FakeMachine, GuestException } from './fake-machine.js';
import { FakeOutbox } from './fake-outbox.js';
import { checkPlan } from './plan-check.js';
import { type MappedBytes, takeRegion } from './region-check.js';
import { refusedRegister } from './register-rules.js';

/** What one step of a scripted guest does, as the vCPU would see it. RIP stands behind the instruction already. */
export type FakeStep =
  /** Nothing that leaves the guest. */
  | { readonly kind: 'next' }
  /** Runs without an exit until somebody interrupts it. */
  | { readonly kind: 'spin' }
  | Exclude<DriverExit, { kind: 'cancelled' | 'exception' | 'protocol' }>;

/**
 * A scripted guest: called for each instruction, with RIP at it, and moves RIP itself. All state between two steps
 * is in registers and memory, so that snapshots hold.
 */
export type FakeProgram = (machine: FakeMachine) => FakeStep;

export interface FakeDriverOptions {
  /** The program that a VM of this plan plays. */
  readonly program: (plan: VmPlan) => FakeProgram;
}

const MAX_UNTOUCHED = 16;
/** Flags that a guest at CPL 3 may hold, and its interrupt flag, which it only believes. */
const RFLAGS_MASK = 0x24_0fd7n;
const RFLAGS_FIXED = 2n;
const MXCSR_MASK = 0xffff;
/** Steps between two looks at the event loop, the deadline and the interrupt. */
const STEPS_PER_TURN = 256;

/** A driver in memory that plays scripted programs and keeps the whole driver contract, for tests without KVM. */
export function createFakeDriver(options: FakeDriverOptions): HypervisorDriver {
  return new FakeDriver(options);
}

class FakeDriver implements HypervisorDriver {
  readonly name = 'fake';
  readonly #options: FakeDriverOptions;
  readonly #vms = new Set<FakeVm>();
  #closed: Promise<void> | undefined;

  constructor(options: FakeDriverOptions) {
    this.#options = options;
  }

  async createVm(plan: VmPlan): Promise<DriverVm> {
    this.#checkOpen();
    checkPlan(plan);
    const machine = new FakeMachine(plan);
    for (const write of plan.load) machine.hostWrite(write);
    return this.#adopt(new FakeVm({ machine, program: this.#options.program(plan) }));
  }

  async createVmFromSnapshot(snapshot: DriverSnapshot): Promise<DriverVm> {
    this.#checkOpen();
    const base = FakeSnapshot.of(snapshot);
    const machine = new FakeMachine(base.plan, base.memory.slice());
    machine.mapped = base.mapped;
    return this.#adopt(new FakeVm({ machine, program: base.program, base }));
  }

  close(): Promise<void> {
    this.#closed ??= Promise.all([...this.#vms].map((vm) => vm.close())).then(() => undefined);
    return this.#closed;
  }

  #adopt(vm: FakeVm): FakeVm {
    this.#vms.add(vm);
    vm.onClosed = () => this.#vms.delete(vm);
    return vm;
  }

  #checkOpen(): void {
    if (this.#closed) throw hypervisorError('MAYFLY_ERR_DRIVER_CLOSED', 'the driver is closed');
  }
}

interface SnapshotState {
  readonly plan: VmPlan;
  readonly program: FakeProgram;
  readonly memory: Uint8Array;
  readonly regs: GeneralRegisters;
  readonly special: SpecialRegisters;
  readonly fpu: FpuState;
  readonly seesTables: boolean;
  readonly mapped: readonly MappedBytes[];
  readonly resumable: boolean;
}

class FakeSnapshot implements DriverSnapshot {
  readonly memoryBytes: number;
  #state: SnapshotState | undefined;

  constructor(state: SnapshotState) {
    this.#state = state;
    this.memoryBytes = state.plan.memoryBytes;
  }

  static of(snapshot: DriverSnapshot): SnapshotState {
    if (!(snapshot instanceof FakeSnapshot) || !snapshot.#state)
      throw hypervisorError('MAYFLY_ERR_VM_SNAPSHOT_MISMATCH', 'not an open snapshot of this driver');
    return snapshot.#state;
  }

  close(): void {
    this.#state = undefined;
  }
}

/**
 * DESIGN. Idle -- run --> Running -- exit --> Idle; snapshot and restore take one turn. A call is active from the
 * run that starts it until `endCall`, over several runs. Close ends a run as killed.
 */
class FakeVm implements DriverVm {
  readonly memoryBytes: number;
  readonly interrupt: DriverInterrupt;
  onClosed: (() => void) | undefined;
  readonly #machine: FakeMachine;
  readonly #program: FakeProgram;
  readonly #outbox = new FakeOutbox();
  #base: SnapshotState | undefined;
  #busy: Promise<unknown> | undefined;
  #closed: Promise<number> | undefined;
  #dropped = false;
  #callActive = false;
  #generation = 0n;
  #killedGeneration = -1n;
  #callDeadlineMs = Number.POSITIVE_INFINITY;
  #wake: (() => void) | undefined;
  /** The last exit was an OUT: a run without an entry goes on behind it. */
  #resumable = false;

  constructor(parts: { machine: FakeMachine; program: FakeProgram; base?: SnapshotState }) {
    this.#machine = parts.machine;
    this.#program = parts.program;
    this.memoryBytes = parts.machine.plan.memoryBytes;
    if (parts.base) this.#adopt(parts.base);
    const vm = this;
    this.interrupt = {
      kill: () => this.#kill(),
      get dropped() {
        return vm.#dropped;
      },
      get callActive() {
        return vm.#callActive;
      },
      get generation() {
        return vm.#generation;
      },
    };
  }

  read(address: number, lengthBytes: number): Uint8Array {
    this.#checkIdle();
    if (!this.#machine.shows(address, lengthBytes)) outOfRange();
    return this.#machine.hostRead(address, lengthBytes);
  }

  write(address: number, bytes: Uint8Array): void {
    this.#checkIdle();
    if (!this.#machine.holds(address, bytes.byteLength)) outOfRange();
    this.#machine.hostWrite({ address, bytes });
  }

  async run(request: RunRequest): Promise<RunAnswer> {
    this.#checkIdle();
    if (request.restore && !this.#base)
      throw hypervisorError('MAYFLY_ERR_VM_REQUEST', 'a restore needs a snapshot, and this VM has none');
    if (!request.entry && !(request.restore ? this.#base?.resumable : this.#resumable))
      throw hypervisorError('MAYFLY_ERR_VM_REQUEST', 'a run without an entry goes on after an OUT');
    for (const { address, bytes } of request.writes ?? [])
      if (!this.#machine.holds(address, bytes.byteLength))
        throw hypervisorError('MAYFLY_ERR_VM_RANGE', 'a write leaves guest memory');

    if (request.startsCall) {
      this.#callActive = true;
      this.#generation++;
      this.#callDeadlineMs = Number.POSITIVE_INFINITY;
    }
    const dirtyPages = request.restore && this.#base ? this.#restoreBase(this.#base) : 0;
    for (const write of request.writes ?? []) this.#machine.hostWrite(write);
    if (request.entry) {
      this.#machine.regs = entryRegisters(request.entry);
      this.#machine.fpu = resetFpuState();
    }
    this.#outbox.begin({
      fresh: request.entry !== undefined || request.restore === true,
      traces: request.traces,
    });
    return await this.#exclusively(() => this.#play(request, dirtyPages));
  }

  endCall(): void {
    this.#callActive = false;
  }

  async snapshot(): Promise<DriverSnapshot> {
    this.#checkIdle();
    return await this.#exclusively(async () => this.#takeBase(this.#resumable));
  }

  async primeSnapshot({ entry, untouched, deadlineUs }: PrimeRequest): Promise<DriverSnapshot | undefined> {
    this.#checkIdle();
    const base = this.#base;
    if (!base)
      throw hypervisorError('MAYFLY_ERR_VM_REQUEST', 'priming needs a snapshot, and this VM has none');
    if (untouched.length < 1 || untouched.length > MAX_UNTOUCHED)
      throw hypervisorError('MAYFLY_ERR_VM_REQUEST', `untouched holds 1 to ${MAX_UNTOUCHED} ranges`);
    for (const { address, lengthBytes } of untouched)
      if (!(lengthBytes > 0 && this.#machine.holds(address, lengthBytes)))
        throw hypervisorError('MAYFLY_ERR_VM_RANGE', 'an untouched range leaves guest memory');
    const deadlineMs = deadlineUs ? performance.now() + deadlineUs / 1000 : Number.POSITIVE_INFINITY;
    return await this.#exclusively(async () => {
      await turn();
      this.#restoreBase(base);
      this.#machine.regs = entryRegisters(entry);
      this.#outbox.begin({ fresh: true });
      this.#machine.guardUntouched(untouched);
      const primed = await this.#untilTouch(deadlineMs);
      this.#machine.guardUntouched([]);
      if (primed) return this.#takeBase(true);
      this.#restoreBase(base);
      return undefined;
    });
  }

  async compareWithBase(): Promise<number> {
    this.#checkIdle();
    const base = this.#base;
    if (!base)
      throw hypervisorError('MAYFLY_ERR_VM_REQUEST', 'a comparison needs a snapshot, and this VM has none');
    return await this.#exclusively(async () => {
      await turn();
      this.#restoreBase(base);
      return this.#machine.differingPages(base.memory);
    });
  }

  async restore(snapshot: DriverSnapshot): Promise<void> {
    this.#checkIdle();
    const base = FakeSnapshot.of(snapshot);
    const { memoryBytes, regions } = this.#machine.plan;
    if (
      base.plan.memoryBytes !== memoryBytes ||
      JSON.stringify(base.plan.regions) !== JSON.stringify(regions)
    )
      throw hypervisorError(
        'MAYFLY_ERR_VM_SNAPSHOT_MISMATCH',
        'the snapshot was taken of a VM of another plan',
      );
    await this.#exclusively(async () => this.#adopt(base));
  }

  async registers(): Promise<GeneralRegisters> {
    return await this.#idly(() => ({ ...this.#machine.regs }));
  }

  async setRegisters(registers: Partial<GeneralRegisters>): Promise<void> {
    await this.#idly(() => {
      const { rip } = registers;
      if (rip !== undefined && BigInt.asIntN(48, rip) !== BigInt.asIntN(64, rip))
        throw hypervisorError('MAYFLY_ERR_VM_REQUEST', 'RIP is not canonical');
      for (const name of GENERAL_REGISTERS) {
        const value = registers[name];
        if (value !== undefined)
          this.#machine.regs[name] = name === 'rflags' ? (value & RFLAGS_MASK) | RFLAGS_FIXED : value;
      }
      this.#resumable = true;
    });
  }

  async specialRegisters(): Promise<SpecialRegisters> {
    return await this.#idly(() => structuredClone(this.#machine.special));
  }

  async setSpecialRegisters(registers: SpecialRegisters): Promise<void> {
    await this.#idly(() => {
      const { plan, special } = this.#machine;
      const refused = refusedRegister(special, registers, plan.ring0 !== undefined);
      if (refused !== undefined)
        throw hypervisorError('MAYFLY_ERR_VM_PRIVILEGE', `special register ${refused} cannot be changed so`);
      this.#machine.special = structuredClone(registers);
    });
  }

  async fpu(): Promise<FpuState> {
    return await this.#idly(() => structuredClone(this.#machine.fpu));
  }

  async setFpu(state: FpuState): Promise<void> {
    await this.#idly(() => {
      if ((state.mxcsr & ~MXCSR_MASK) !== 0)
        throw hypervisorError('MAYFLY_ERR_VM_REQUEST', 'MXCSR has reserved bits');
      this.#machine.fpu = structuredClone(state);
    });
  }

  async mapRegion(request: RegionRequest): Promise<PlannedRegion> {
    this.#checkIdle();
    const region = takeRegion(request, this.#machine.plan, this.#machine.mapped);
    return await this.#idly(() => {
      const mapped = [...this.#machine.mapped, region];
      this.#machine.mapped = mapped.sort((one, other) => one.address - other.address);
      return partOf(region);
    });
  }

  async unmapRegion(address: number): Promise<void> {
    await this.#idly(() => {
      const left = this.#machine.mapped.filter((region) => region.address !== address);
      if (left.length === this.#machine.mapped.length)
        throw hypervisorError('MAYFLY_ERR_VM_REGION', 'no region is mapped at this address');
      this.#machine.mapped = left;
    });
  }

  get mappedRegions(): readonly PlannedRegion[] {
    return this.#machine.mapped.map(partOf);
  }

  close(): Promise<number> {
    if (!this.#closed) {
      this.#closed = (async () => {
        await this.#busy?.catch(() => undefined);
        this.#dropped = true;
        this.onClosed?.();
        return 0;
      })();
      this.#wake?.();
    }
    return this.#closed;
  }

  async #play(request: RunRequest, dirtyPages: number): Promise<RunAnswer> {
    const enteredMs = performance.now();
    const enteredTsc = process.hrtime.bigint();
    const requestDeadlineMs = request.deadlineUs
      ? enteredMs + request.deadlineUs / 1000
      : Number.POSITIVE_INFINITY;
    if (this.#callActive && this.#callDeadlineMs === Number.POSITIVE_INFINITY)
      this.#callDeadlineMs = requestDeadlineMs;
    const exit = await this.#untilExit(this.#callActive ? this.#callDeadlineMs : requestDeadlineMs);
    this.#resumable = exit.kind === 'io-out' || exit.kind === 'debug' || exit.kind === 'retry';
    if (exit.kind === 'halt') this.#outbox.takeTrace(this.#machine);
    const leftTsc = process.hrtime.bigint();
    return {
      exit,
      regs: { ...this.#machine.regs },
      outbox: this.#outbox.entries,
      outboxDropped: this.#outbox.dropped,
      // The counter of these machines counts nanoseconds.
      ...(request.traces && {
        clock: { enteredNs: Number(enteredTsc), leftNs: Number(leftTsc), enteredTsc, leftTsc },
      }),
      tracesDropped: this.#outbox.tracesDropped,
      heapEvents: this.#outbox.heapEvents,
      phases: {
        queuedNs: 0,
        restoreNs: 0,
        runNs: Number(leftTsc - enteredTsc),
        enteredNs: Number(enteredTsc),
        leftNs: Number(leftTsc),
      },
      exits: 1,
      dirtyPages,
    };
  }

  async #untilExit(deadlineMs: number): Promise<DriverExit> {
    // As with real threads, a run never settles before its caller waits for it.
    await turn();
    for (;;) {
      for (let step = 0; step < STEPS_PER_TURN; step++) {
        const cancelled = this.#cancellation(deadlineMs);
        if (cancelled) return cancelled;
        const done = this.#step();
        if (done?.kind === 'spin') {
          await this.#interrupted(deadlineMs);
          break;
        }
        if (done) return done;
      }
      await turn();
    }
  }

  /** @returns the exit of one instruction, or `undefined` when the guest goes on */
  #step(): DriverExit | { kind: 'spin' } | undefined {
    const { rip } = this.#machine.regs;
    try {
      this.#machine.checkFetch();
      const step = this.#program(this.#machine);
      if (step.kind === 'next') return undefined;
      return step.kind === 'io-out' ? this.#outbox.serve(this.#machine, step) : step;
    } catch (error) {
      if (error instanceof GuestException) return exceptionExit(error, rip);
      throw error;
    }
  }

  /** @returns whether the guest's next instruction touches what priming guards */
  async #untilTouch(deadlineMs: number): Promise<boolean> {
    for (;;) {
      for (let step = 0; step < STEPS_PER_TURN; step++) {
        if (this.#cancellation(deadlineMs)) return false;
        const before = { ...this.#machine.regs };
        const exit = this.#step();
        if (this.#machine.touched) {
          this.#machine.regs = before;
          return true;
        }
        if (exit || this.#outbox.entries.length > 0) return false;
      }
      await turn();
    }
  }

  #takeBase(resumable: boolean): FakeSnapshot {
    const base: SnapshotState = {
      plan: this.#machine.plan,
      program: this.#program,
      memory: this.#machine.copyMemory(),
      regs: { ...this.#machine.regs },
      special: this.#machine.special,
      fpu: this.#machine.fpu,
      seesTables: this.#machine.seesTables,
      mapped: this.#machine.mapped,
      resumable,
    };
    this.#machine.markClean();
    this.#base = base;
    this.#resumable = resumable;
    return new FakeSnapshot(base);
  }

  #cancellation(deadlineMs: number): DriverExit | undefined {
    if (this.#closed || (this.#callActive && this.#killedGeneration === this.#generation))
      return { kind: 'cancelled', by: 'kill' };
    return performance.now() >= deadlineMs ? { kind: 'cancelled', by: 'deadline' } : undefined;
  }

  async #interrupted(deadlineMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (deadlineMs !== Number.POSITIVE_INFINITY)
        timer = setTimeout(resolve, Math.max(0, deadlineMs - performance.now()));
      if (this.#cancellation(deadlineMs)) resolve();
    });
    clearTimeout(timer);
    this.#wake = undefined;
  }

  #kill(): boolean {
    if (!this.#callActive) return false;
    this.#killedGeneration = this.#generation;
    this.#wake?.();
    return true;
  }

  #restoreBase(base: SnapshotState): number {
    this.#restoreState(base);
    return this.#machine.restoreFrom(base.memory);
  }

  #adopt(base: SnapshotState): void {
    this.#base = base;
    this.#machine.replaceMemory(base.memory);
    this.#restoreState(base);
  }

  #restoreState(base: SnapshotState): void {
    this.#machine.regs = { ...base.regs };
    this.#machine.special = base.special;
    this.#machine.fpu = base.fpu;
    this.#machine.seesTables = base.seesTables;
    this.#machine.mapped = base.mapped;
    this.#resumable = base.resumable;
  }

  /** An operation that takes one turn. */
  async #idly<T>(work: () => T): Promise<T> {
    this.#checkIdle();
    return await this.#exclusively(async () => {
      await turn();
      return work();
    });
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const busy = work();
    this.#busy = busy;
    try {
      return await busy;
    } finally {
      this.#busy = undefined;
    }
  }

  #checkIdle(): void {
    if (this.#closed) throw hypervisorError('MAYFLY_ERR_VM_CLOSED', 'the VM is closed');
    if (this.#busy) throw hypervisorError('MAYFLY_ERR_VM_BUSY', 'an operation of this VM is under way');
  }
}

function partOf({ address, lengthBytes, rights }: PlannedRegion): PlannedRegion {
  return { address, lengthBytes, rights };
}

function outOfRange(): never {
  throw hypervisorError('MAYFLY_ERR_VM_RANGE', 'the access leaves guest memory');
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
