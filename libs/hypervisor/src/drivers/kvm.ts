import { closeSync, openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import {
  CompletionRecords,
  loadBinding,
  NativeCode,
  type NativeDriver,
  type NativeInterrupt,
  type NativeSnapshot,
  type NativeVm,
  Op,
  packRegisters,
  packSpecialRegisters,
  RequestWriter,
  readFailure,
  readRegisters,
  readSpecialRegisters,
  StateKind,
} from '@mayfly/native';
import type {
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
import { type FpuState, fpuStateOf, fxsaveImage } from '../fpu-state.js';
import type { SpecialRegisters } from '../registers.js';
import { failure, requireWhole, requireWrites, translate, translated } from './native-failure.js';

export interface KvmDriverOptions {
  /** vCPU threads, and with them calls that run at once. @defaultValue the number of usable cores */
  readonly slots?: number;
  /**
   * VM shells created ahead in the background; as many closed VMs are kept for the next one of their image.
   * @defaultValue 2
   */
  readonly spareShells?: number;
  /** The signal that interrupts a guest is SIGRTMIN plus this. @defaultValue 0 */
  readonly signalOffset?: number;
}

/** Guest memory and mapped regions end here. */
const MAX_READ_BYTES = 2 ** 30;
const RECORDS_PER_DRAIN = 16;
const MAX_SLOTS = 256;
const MAX_SPARE_SHELLS = 64;
const MAX_SIGNAL_OFFSET = 64;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

class KvmInterrupt implements DriverInterrupt {
  readonly #native: NativeInterrupt;

  constructor(native: NativeInterrupt) {
    this.#native = native;
  }
  kill(): boolean {
    return this.#native.kill();
  }
  get dropped(): boolean {
    return this.#native.dropped();
  }
  get callActive(): boolean {
    return this.#native.callActive();
  }
  get generation(): bigint {
    return this.#native.generation();
  }
  share(): number {
    return this.#native.share();
  }
  get sharedCall(): number {
    return Number(this.#native.generation());
  }
}

class KvmSnapshot implements DriverSnapshot {
  readonly memoryBytes: number;
  readonly native: NativeSnapshot;

  constructor(native: NativeSnapshot) {
    this.native = native;
    this.memoryBytes = native.memoryBytes();
  }
  close(): void {
    this.native.close();
  }
}

function nativeSnapshot(snapshot: DriverSnapshot): NativeSnapshot {
  if (snapshot instanceof KvmSnapshot) return snapshot.native;
  throw hypervisorError('MAYFLY_ERR_VM_SNAPSHOT_MISMATCH', 'The snapshot is of another driver');
}

/** Opens a file for as long as `use` takes; a descriptor is used as it is. */
function withFile(file: string | number, use: (fd: number) => void): void {
  if (typeof file === 'number') {
    use(file);
    return;
  }
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (error) {
    throw hypervisorError('MAYFLY_ERR_VM_REGION', `${file} cannot be opened`, { cause: error });
  }
  try {
    use(fd);
  } finally {
    closeSync(fd);
  }
}

class KvmVm implements DriverVm {
  readonly memoryBytes: number;
  readonly slot: number;
  readonly interrupt: DriverInterrupt;
  readonly native: NativeVm;
  /** Of the operation under way, and of the close. */
  operation: Waiting | undefined;
  closing: Waiting | undefined;
  readonly #driver: KvmDriver;
  #closed: Promise<number> | undefined;
  #regions: readonly PlannedRegion[] = [];

  constructor(driver: KvmDriver, native: NativeVm, memoryBytes: number) {
    this.#driver = driver;
    this.native = native;
    this.memoryBytes = memoryBytes;
    this.slot = native.slot();
    this.interrupt = new KvmInterrupt(native.interrupt());
  }

  read(address: number, lengthBytes: number): Uint8Array {
    requireWhole(address, 'address', Number.MAX_SAFE_INTEGER, 'MAYFLY_ERR_VM_RANGE');
    requireWhole(lengthBytes, 'lengthBytes', MAX_READ_BYTES, 'MAYFLY_ERR_VM_RANGE');
    const bytes = new Uint8Array(lengthBytes);
    translated(() => this.native.read(address, bytes));
    return bytes;
  }

  write(address: number, bytes: Uint8Array): void {
    requireWrites([{ address, bytes }], 'write', 'MAYFLY_ERR_VM_RANGE');
    translated(() => this.native.write(address, bytes));
  }

  run(request: RunRequest): Promise<RunAnswer> {
    return this.#start(() => {
      if (request.writes !== undefined) requireWrites(request.writes, 'writes', 'MAYFLY_ERR_VM_REQUEST');
      if (request.deadlineUs !== undefined)
        requireWhole(request.deadlineUs, 'deadlineUs', Number.MAX_SAFE_INTEGER, 'MAYFLY_ERR_VM_REQUEST');
      const { requests } = this.#driver;
      const length = requests.pack(request);
      this.native.run(requests.bytes, length);
    });
  }

  endCall(): void {
    this.native.endCall();
  }

  revoke(): boolean {
    return translated(() => this.native.revoke());
  }

  snapshot(): Promise<DriverSnapshot> {
    return this.#start(() => this.native.snapshot());
  }

  primeSnapshot({ entry, untouched, deadlineUs = 0 }: PrimeRequest): Promise<DriverSnapshot | undefined> {
    return this.#start(() => {
      requireWhole(deadlineUs, 'deadlineUs', Number.MAX_SAFE_INTEGER, 'MAYFLY_ERR_VM_REQUEST');
      const ranges = untouched.flatMap(({ address, lengthBytes }) => [address, lengthBytes]);
      for (const number of ranges)
        requireWhole(number, 'a number of untouched', Number.MAX_SAFE_INTEGER, 'MAYFLY_ERR_VM_RANGE');
      const { requests } = this.#driver;
      const length = requests.pack({ entry, deadlineUs });
      this.native.prime(requests.bytes, length, Float64Array.from(ranges));
    });
  }

  compareWithBase(): Promise<number> {
    return this.#start(() => this.native.compare());
  }

  restore(snapshot: DriverSnapshot): Promise<void> {
    return this.#start(() => this.native.restore(nativeSnapshot(snapshot)));
  }

  async registers(): Promise<GeneralRegisters> {
    return readRegisters(await this.#getState(StateKind.General));
  }

  setRegisters(registers: Partial<GeneralRegisters>): Promise<void> {
    return this.#start(() => this.native.setState(StateKind.General, packRegisters(registers)));
  }

  async specialRegisters(): Promise<SpecialRegisters> {
    return readSpecialRegisters(await this.#getState(StateKind.Special));
  }

  setSpecialRegisters(registers: SpecialRegisters): Promise<void> {
    return this.#start(() => this.native.setState(StateKind.Special, packSpecialRegisters(registers)));
  }

  async fpu(): Promise<FpuState> {
    return fpuStateOf(await this.#getState(StateKind.Fpu));
  }

  setFpu(state: FpuState): Promise<void> {
    return this.#start(() => this.native.setState(StateKind.Fpu, fxsaveImage(state)));
  }

  async mapRegion(request: RegionRequest): Promise<PlannedRegion> {
    const { address, rights, source } = request;
    for (const [name, value] of Object.entries({ address, rights, lengthBytes: request.lengthBytes ?? 1 }))
      requireWhole(
        value,
        name,
        Number.MAX_SAFE_INTEGER,
        'MAYFLY_ERR_VM_REGION',
        name === 'lengthBytes' ? 1 : 0,
      );
    let lengthBytes = 0;
    await this.#start(() => {
      const map = (from: Uint8Array | number, offsetBytes = 0) => {
        lengthBytes = this.native.mapRegion(address, request.lengthBytes ?? 0, rights, from, offsetBytes);
      };
      if ('bytes' in source) map(source.bytes);
      else {
        const { file, offsetBytes = 0 } = source;
        requireWhole(offsetBytes, 'offsetBytes', Number.MAX_SAFE_INTEGER, 'MAYFLY_ERR_VM_REGION');
        withFile(file, (fd) => map(fd, offsetBytes));
      }
    });
    return { address, lengthBytes, rights };
  }

  unmapRegion(address: number): Promise<void> {
    return this.#start(() => {
      requireWhole(address, 'address', Number.MAX_SAFE_INTEGER, 'MAYFLY_ERR_VM_REGION');
      this.native.unmapRegion(address);
    });
  }

  get mappedRegions(): readonly PlannedRegion[] {
    if (this.operation === undefined && this.#closed === undefined) {
      const numbers = translated(() => this.native.regions());
      this.#regions = Array.from({ length: numbers.length / 3 }, (_, i) => ({
        address: numbers[3 * i] as number,
        lengthBytes: numbers[3 * i + 1] as number,
        rights: numbers[3 * i + 2] as number,
      }));
    }
    return this.#regions;
  }

  close(): Promise<number> {
    this.#closed ??= new Promise((resolve, reject) => {
      if (this.native.close()) {
        this.closing = { resolve: resolve as (value: unknown) => void, reject };
        this.#driver.expect(this);
      } else {
        resolve(this.#driver.close().then(() => 0));
      }
    });
    return this.#closed;
  }

  /** Waits for the operation that was posted at construction. */
  created(): Promise<unknown> {
    return this.#wait();
  }

  #getState(kind: number): Promise<Uint8Array> {
    return this.#start(() => this.native.getState(kind));
  }

  #start<T>(post: () => void): Promise<T> {
    try {
      post();
    } catch (error) {
      return Promise.reject(error instanceof Error && 'definition' in error ? error : translate(error));
    }
    return this.#wait();
  }

  #wait<T>(): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.operation = { resolve: resolve as (value: unknown) => void, reject };
      this.#driver.expect(this);
    });
  }
}

class KvmDriver implements HypervisorDriver {
  readonly name = 'kvm';
  readonly requests = new RequestWriter();
  readonly #native: NativeDriver;
  readonly #records = new CompletionRecords(RECORDS_PER_DRAIN);
  /** VMs with an operation under way: a forgotten idle one can be collected, and is closed then. */
  readonly #expected = new Map<number, KvmVm>();
  #closed: Promise<void> | undefined;
  #resolveClosed: (() => void) | undefined;

  constructor(options: Required<KvmDriverOptions>) {
    const { Driver } = loadBinding();
    this.#native = new Driver(options.slots, options.spareShells, options.signalOffset, () => this.#drain());
  }

  async createVm(plan: VmPlan): Promise<DriverVm> {
    const { privilege = 'user' } = plan;
    if (privilege !== 'user' && privilege !== 'supervisor')
      throw hypervisorError('MAYFLY_ERR_VM_PLAN', 'privilege must be user or supervisor');
    const output = plan.outputBuffer ?? { address: 0, lengthBytes: 0 };
    const numbers = plan.regions.flatMap(({ address, lengthBytes, rights }) => [
      address,
      lengthBytes,
      rights,
    ]);
    requireWhole(plan.memoryBytes, 'memoryBytes', 2 ** 30, 'MAYFLY_ERR_VM_PLAN', 1);
    for (const number of [...numbers, output.address, output.lengthBytes])
      requireWhole(number, 'a number of the plan', Number.MAX_SAFE_INTEGER, 'MAYFLY_ERR_VM_PLAN');
    for (const { rights } of plan.regions) requireWhole(rights, 'rights', 15, 'MAYFLY_ERR_VM_PLAN');
    if (plan.ring0 !== undefined)
      requireWhole(plan.ring0.pageTablesBytes, 'pageTablesBytes', 2 ** 30, 'MAYFLY_ERR_VM_PLAN', 1);
    requireWrites(plan.load, 'load', 'MAYFLY_ERR_VM_PLAN');
    const native = translated(() =>
      this.#native.createVm(
        plan.memoryBytes,
        Float64Array.from(numbers),
        Float64Array.of(output.address, output.lengthBytes),
        Float64Array.from(plan.load, ({ address }) => address),
        plan.load.map(({ bytes }) => bytes),
        plan.ring0?.pageTablesBytes,
        privilege === 'supervisor',
      ),
    );
    return this.#adopt(native, plan.memoryBytes);
  }

  async createVmFromSnapshot(snapshot: DriverSnapshot): Promise<DriverVm> {
    const source = nativeSnapshot(snapshot);
    const native = translated(() => this.#native.createVmFromSnapshot(source));
    return this.#adopt(native, snapshot.memoryBytes);
  }

  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#resolveClosed = resolve;
      this.#native.close();
    });
    return this.#closed;
  }

  expect(vm: KvmVm): void {
    this.#expected.set(vm.native.id(), vm);
  }

  async #adopt(native: NativeVm, memoryBytes: number): Promise<KvmVm> {
    const vm = new KvmVm(this, native, memoryBytes);
    try {
      await vm.created();
    } catch (error) {
      await vm.close();
      throw error;
    }
    return vm;
  }

  /** Called when operations have ended; nothing in here throws into the addon. */
  #drain(): void {
    let count: number;
    do {
      count = this.#native.drain(this.#records.bytes);
      for (let i = 0; i < count; i++) this.#settle(i);
    } while (count === RECORDS_PER_DRAIN);
  }

  #settle(index: number): void {
    const op = this.#records.op(index);
    if (op === Op.EngineClosed) {
      this.#native.finish();
      this.#resolveClosed?.();
      return;
    }
    const id = this.#records.vm(index);
    const vm = this.#expected.get(id);
    if (vm === undefined) return;
    const waiting = op === Op.Close ? vm.closing : vm.operation;
    if (op === Op.Close) vm.closing = undefined;
    else vm.operation = undefined;
    if (vm.closing === undefined && vm.operation === undefined) this.#expected.delete(id);
    if (waiting === undefined) return;
    try {
      waiting.resolve(this.#result(index, op, vm));
    } catch (error) {
      waiting.reject(error);
    }
  }

  #result(index: number, op: number, vm: KvmVm): unknown {
    const status = this.#records.status(index);
    if (status === NativeCode.None && op === Op.Run) return this.#records.answer(index, vm.native);
    const detail = this.#native.detail(index);
    if (status !== NativeCode.None) throw failure(status, detail.text ?? '', detail.errno ?? 0);
    if (op === Op.Compare || op === Op.Close) return detail.count;
    if (op === Op.GetState) return detail.state;
    return detail.snapshot === undefined ? undefined : new KvmSnapshot(detail.snapshot);
  }
}

/**
 * A driver over KVM of this host.
 * @throws MAYFLY_ERR_NO_HYPERVISOR with the reason: the addon is not built, no `/dev/kvm`, no permission, a
 * missing capability, or a probe guest that did not run. MAYFLY_ERR_VM_REQUEST for an option out of its range.
 */
export async function createKvmDriver(options: KvmDriverOptions = {}): Promise<HypervisorDriver> {
  const slots = options.slots ?? Math.max(1, availableParallelism());
  const spareShells = options.spareShells ?? 2;
  const signalOffset = options.signalOffset ?? 0;
  requireWhole(slots, 'slots', MAX_SLOTS, 'MAYFLY_ERR_VM_REQUEST', 1);
  requireWhole(spareShells, 'spareShells', MAX_SPARE_SHELLS, 'MAYFLY_ERR_VM_REQUEST');
  requireWhole(signalOffset, 'signalOffset', MAX_SIGNAL_OFFSET, 'MAYFLY_ERR_VM_REQUEST');
  try {
    return new KvmDriver({ slots, spareShells, signalOffset });
  } catch (error) {
    if (readFailure(error) !== undefined) throw translate(error);
    throw hypervisorError(
      'MAYFLY_ERR_NO_HYPERVISOR',
      'The native addon does not load; build it with `make -C libs/native`',
      {
        cause: error,
      },
    );
  }
}
