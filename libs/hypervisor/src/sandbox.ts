import { isMayflyError, type ReturnType, type TypedValue } from '@mayfly/contracts';
import { type CallOptions, checkCall, checkCallOptions } from './call-options.js';
import { type CallEnd, type CallReport, callReport } from './call-report.js';
import { readResult } from './call-result.js';
import { CallState } from './call-state.js';
import { encodeFunctionCall } from './codec/function-call.js';
import {
  type DriverSnapshot,
  type DriverVm,
  type MemoryWrite,
  type PlannedRegion,
  type RegionRequest,
  Rights,
} from './driver.js';
import { hypervisorError } from './errors.js';
import { fault } from './faults.js';
import { callFlags, freshGeneration } from './generation.js';
import type { GuestVersion } from './guest-version.js';
import { cutFault, Hypervisor } from './hypervisor.js';
import type { InterruptHandle } from './interrupt-handle.js';
import { registersOf } from './live-check.js';
import { emptyStack, largestElementBytes, onlyElement } from './memory/io-stack.js';
import { SharedSnapshot } from './shared-snapshot.js';
import { TraceCollector } from './trace/trace-collector.js';

interface SandboxParts {
  readonly version: GuestVersion;
  readonly vm: DriverVm;
  /** The new sandbox becomes a holder in place of the caller. The VM's own base is its `start`. */
  readonly base: SharedSnapshot;
}

/**
 * An initialised guest in its own VM.
 *
 * DESIGN. One operation at a time; a second one is refused, never queued.
 *
 *   Clean -- call, invoke, mapRegion, unmapRegion --> Clean | Changed | Poisoned
 *   Changed -- snapshot --> Clean (the base moves)    Changed, Poisoned -- restore, invoke --> Clean
 *   any -- a host function outlives its call, the driver or the vCPU fails --> Doubtful: only close is left
 *   any -- close --> Closed
 *
 * `invoke` starts from the base's warm snapshot where there is one. A call that keeps state starts from the plain one
 * and enters anew: the beginning of a call that the warm one holds must not stay in memory without its end.
 */
export class Sandbox {
  readonly #version: GuestVersion;
  readonly #vm: DriverVm;
  readonly #hypervisor: Hypervisor;
  #base: SharedSnapshot;
  /** What the VM's own restore returns to: one of the two of `#base`. */
  #vmBase: DriverSnapshot;
  #busy = false;
  /** Something is not as in the base: a call ran, or a region came or went. */
  #changed = false;
  /** A call ran since memory was copied from a snapshot: it is no fresh clone any more. */
  #ran = false;
  #poisoned = false;
  #doubtful = false;
  #closing: Promise<void> | undefined;

  /** Not for callers: sandboxes come from `evolve` and `instantiate`. */
  constructor({ version, vm, base }: SandboxParts) {
    this.#version = version;
    this.#vm = vm;
    this.#base = base;
    this.#vmBase = base.start;
    this.#hypervisor = new Hypervisor({
      vm,
      layout: version.layout,
      cookie: version.cookie,
      hostFunctions: version.hostFunctions,
      observer: version.observer,
    });
  }

  /** The last call left state that nothing may run on: `call` and `snapshot` are refused until a restore. */
  get poisoned(): boolean {
    return this.#poisoned || this.#doubtful;
  }

  /**
   * A host function outlived its call, or the host failed: the sandbox is not provably clean, and no restore
   * changes that. Close it.
   */
  get doubtful(): boolean {
    return this.#doubtful;
  }

  /** The driver's slot that runs it: calls of one slot wait for each other. Absent where slots do not matter. */
  get slot(): number | undefined {
    return this.#vm.slot;
  }

  /** Whether `invoke` starts from a warm snapshot, behind the beginning of the call that all calls have in common. */
  get warm(): boolean {
    return this.#base.warm !== undefined;
  }

  /** Size of guest memory. What a sandbox costs is the pages it touched. */
  get memoryBytes(): number {
    return this.#vm.memoryBytes;
  }

  /**
   * Calls a function of the guest; state stays for the next call, as in the reference.
   *
   * @throws MAYFLY_ERR_CALL_ARGUMENTS, _CALL_TOO_LARGE, MAYFLY_ERR_SANDBOX_BUSY, _POISONED, _DOUBTFUL, _CLOSED,
   * and what the driver throws. What the guest does is in the report.
   */
  async call(
    name: string,
    args: readonly TypedValue[],
    returns: ReturnType,
    options: CallOptions = {},
  ): Promise<CallReport> {
    return await this.#run({ name, args, returns, options, restore: false });
  }

  /**
   * Restores the base snapshot, then calls, in one crossing; works on a poisoned sandbox, too.
   *
   * @throws as `call`, without MAYFLY_ERR_SANDBOX_POISONED.
   */
  async invoke(
    name: string,
    args: readonly TypedValue[],
    returns: ReturnType,
    options: CallOptions = {},
  ): Promise<CallReport> {
    return await this.#run({ name, args, returns, options, restore: true });
  }

  /**
   * Takes a snapshot and makes it the base that `invoke` returns to. Without a call since the last snapshot or
   * restore it costs nothing: the base itself is the answer.
   *
   * @throws MAYFLY_ERR_SANDBOX_BUSY, _POISONED, _DOUBTFUL, _CLOSED.
   */
  async snapshot(): Promise<Snapshot> {
    this.#checkUsable();
    this.#checkNotPoisoned();
    if (this.#changed)
      await this.#exclusively(async () => {
        const plain = await this.#vm.snapshot();
        const base = new SharedSnapshot(plain, undefined, await registersOf(this.#vm, false));
        this.#vmBase = base.start;
        this.#moveBase(base);
      });
    return new Snapshot(this.#version, this.#base.hold());
  }

  /**
   * Returns to a snapshot of the same guest and makes it the base; un-poisons.
   *
   * @throws MAYFLY_ERR_SNAPSHOT_MISMATCH, _SNAPSHOT_CLOSED, MAYFLY_ERR_SANDBOX_BUSY, _DOUBTFUL, _CLOSED.
   */
  async restore(snapshot: Snapshot): Promise<void> {
    this.#checkUsable();
    const shared = Snapshot.hold(snapshot, this.#version);
    try {
      await this.#exclusively(() => this.#startFrom(shared.start));
    } catch (error) {
      shared.release();
      throw error;
    }
    this.#moveBase(shared);
    this.#poisoned = false;
  }

  /**
   * Takes the call under way back, if it waits behind another sandbox's on the slot and has provably not begun: it then
   * settles as canceled, and the sandbox is as it was before. For whoever can make the call elsewhere at once.
   *
   * @returns false when it has begun, or none is under way: then nothing changes.
   */
  revoke(): boolean {
    return !this.#closing && (this.#vm.revoke?.() ?? false);
  }

  /**
   * Maps memory beside the guest's own, read-only (guest-abi 1.4). A guest that was built for ring 0 adds it to its page
   * tables itself. It stays for `call`s; `invoke` goes back to the regions of the base, which `snapshot` moves.
   *
   * @returns what was mapped, in whole pages.
   * @throws MAYFLY_ERR_VM_REGION, MAYFLY_ERR_NOT_SUPPORTED, MAYFLY_ERR_SANDBOX_BUSY, _POISONED, _DOUBTFUL, _CLOSED.
   */
  async mapRegion(region: RegionRequest): Promise<PlannedRegion> {
    return await this.#changeRegions(() => this.#hypervisor.mapRegion(region));
  }

  /**
   * Maps a file, READ and EXECUTE, copy-on-write.
   *
   * @returns its length in whole pages. @throws as `mapRegion`.
   */
  async mapFileCow(path: string, address: number): Promise<number> {
    const rights = Rights.READ | Rights.EXECUTE;
    return (await this.mapRegion({ address, rights, source: { file: path } })).lengthBytes;
  }

  /** Takes a mapped region away. @param address where it starts. @throws as `mapRegion`. */
  async unmapRegion(address: number): Promise<void> {
    await this.#changeRegions(() => this.#hypervisor.unmapRegion(address));
  }

  /** Regions that are mapped beside guest memory now, ascending. */
  get mappedRegions(): readonly PlannedRegion[] {
    return this.#hypervisor.mappedRegions;
  }

  /** The same handle every time; valid for all calls of this sandbox. */
  interruptHandle(): InterruptHandle {
    return this.#hypervisor.interruptHandle();
  }

  /** Kills what runs, waits for it, frees the VM. Idempotent: the same promise. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      this.#version.liveCheck.closed(this.#vm, await this.#hypervisor.close());
    } finally {
      this.#base.release();
    }
  }

  async #run(request: {
    name: string;
    args: readonly TypedValue[];
    returns: ReturnType;
    options: CallOptions;
    restore: boolean;
  }): Promise<CallReport> {
    const { name, args, returns, options, restore } = request;
    this.#checkUsable();
    if (!restore) this.#checkNotPoisoned();
    checkCall(name, args, returns);
    checkCallOptions(options);
    const writes = this.#callWrites(name, args, returns);
    // Memory that was copied or restored: what runs on it now is a new clone.
    const { trace = false } = options;
    const { layout } = this.#version;
    writes.push(restore || !this.#ran ? freshGeneration(layout, trace) : callFlags(layout, trace));
    const state = new CallState(options.timeoutMs, options.context, this.#version.budget);
    if (trace) state.trace = new TraceCollector();
    if (options.signal?.aborted)
      return callReport(fault('kill', 'The call was aborted before it began'), state, 0);

    return await this.#exclusively(async () => {
      const onAbort = () => this.interruptHandle().kill();
      options.signal?.addEventListener('abort', onAbort, { once: true });
      try {
        const prepare = this.#preparation(restore, state);
        if (prepare) await this.#hypervisor.prepareCall(state, prepare);
        const before = prepare
          ? { changed: false, ran: false, poisoned: false }
          : { changed: this.#changed, ran: this.#ran, poisoned: this.#poisoned };
        this.#changed = true;
        this.#ran = true;
        this.#poisoned = false;
        const runEnd = state.cutBy
          ? cutFault(state)
          : await this.#hypervisor.dispatchCallFromHost(
              {
                entry: restore && this.#base.warm ? undefined : this.#version.callEntry,
                writes,
                restore,
                timeoutMs: options.timeoutMs,
              },
              state,
            );
        const haltedAtMs = performance.now();
        const end: CallEnd = runEnd.reason === 'halted' ? this.#takeResult(state, returns, restore) : runEnd;
        if ('poisons' in end && end.poisons) this.#poisoned = true;
        if (runEnd.reason === 'revoked') {
          this.#changed = before.changed;
          this.#ran = before.ran;
          this.#poisoned = before.poisoned;
        }
        if (state.hostFunctionLate || ('discards' in end && end.discards)) this.#doubtful = true;
        return callReport(end, state, performance.now() - haltedAtMs);
      } finally {
        options.signal?.removeEventListener('abort', onAbort);
      }
    });
  }

  /**
   * What has to be done before this kind of call, nearly always nothing: put the VM on the snapshot that it starts
   * from, and now and then check that restores work.
   */
  #preparation(restore: boolean, state: CallState): (() => Promise<void>) | undefined {
    const { liveCheck } = this.#version;
    const keepsState = !restore && this.#changed;
    const snapshot = restore ? this.#base.start : this.#base.plain;
    const move = !keepsState && this.#vmBase !== snapshot;
    const check = restore && liveCheck.due();
    if (!move && !check) return undefined;
    return async () => {
      if (move) await this.#startFrom(snapshot);
      if (check) await liveCheck.check(this.#vm, this.#base.registers, () => state.cutBy !== undefined);
    };
  }

  async #startFrom(snapshot: DriverSnapshot): Promise<void> {
    await this.#vm.restore(snapshot);
    this.#vmBase = snapshot;
    this.#ran = false;
  }

  async #changeRegions<T>(change: () => Promise<T>): Promise<T> {
    this.#checkUsable();
    this.#checkNotPoisoned();
    return await this.#exclusively(async () => {
      // What comes next keeps its state: not that of a call that has begun.
      if (!this.#changed && this.#vmBase !== this.#base.plain) await this.#startFrom(this.#base.plain);
      const changed = await change();
      this.#changed = true;
      return changed;
    });
  }

  /** The stores before the entry: the call as the only input, and an empty output, whatever was left there. */
  #callWrites(name: string, args: readonly TypedValue[], returns: ReturnType): MemoryWrite[] {
    const { input, output } = this.#version.layout;
    const element = encodeFunctionCall({ name, args, returns, callee: 'guest' });
    const push = onlyElement(input, element);
    if (push) return [push, emptyStack(output)];
    const limitBytes = largestElementBytes(input);
    throw hypervisorError(
      'MAYFLY_ERR_CALL_TOO_LARGE',
      `the encoded call has ${element.byteLength} bytes; the input buffer takes ${limitBytes}`,
      { details: { lengthBytes: element.byteLength, limitBytes } },
    );
  }

  #takeResult(state: CallState, returns: ReturnType, restored: boolean): CallEnd {
    const { end, element } = readResult(this.#vm, this.#version.layout.output, returns);
    state.decodedBytes += element?.bytes.byteLength ?? 0;
    const over = state.overBudget;
    if (over !== undefined) return fault('host-budget', over);
    // The next invoke restores the buffer anyway; a guest that keeps its state gets it back empty.
    if (element && !restored)
      for (const { address, bytes } of element.removal) this.#vm.write(address, bytes);
    return end;
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    this.#busy = true;
    try {
      return await work();
    } catch (error) {
      // After a failure of the host nobody knows what the VM holds.
      this.#doubtful = !isRefusal(error);
      throw isMayflyError(error)
        ? error
        : hypervisorError('MAYFLY_ERR_HYPERVISOR', 'the hypervisor failed', { cause: error });
    } finally {
      this.#busy = false;
    }
  }

  #moveBase(next: SharedSnapshot): void {
    this.#base.release();
    this.#base = next;
    this.#changed = false;
  }

  #checkUsable(): void {
    if (this.#closing) throw hypervisorError('MAYFLY_ERR_SANDBOX_CLOSED', 'the sandbox is closed');
    if (this.#busy)
      throw hypervisorError('MAYFLY_ERR_SANDBOX_BUSY', 'the sandbox has an operation under way');
    if (this.#doubtful)
      throw hypervisorError('MAYFLY_ERR_SANDBOX_DOUBTFUL', 'the sandbox is not provably clean; close it');
  }

  #checkNotPoisoned(): void {
    if (this.#poisoned) throw hypervisorError('MAYFLY_ERR_SANDBOX_POISONED', 'The sandbox was poisoned');
  }
}

/** A request that the driver did not even begin. */
function isRefusal(error: unknown): boolean {
  return isMayflyError(error, 'MAYFLY_ERR_VM_REGION') || isMayflyError(error, 'MAYFLY_ERR_NOT_SUPPORTED');
}

/** Memory and vCPU state of an initialised guest. Immutable; carries layout and host functions with it. */
export class Snapshot {
  readonly #version: GuestVersion;
  readonly #shared: SharedSnapshot;
  #closed = false;

  /** Not for callers: snapshots come from `Sandbox.snapshot`. The new snapshot is a holder of `shared`. */
  constructor(version: GuestVersion, shared: SharedSnapshot) {
    this.#version = version;
    this.#shared = shared;
  }

  /** Size of guest memory. */
  get memoryBytes(): number {
    return this.#shared.plain.memoryBytes;
  }

  /**
   * Another sandbox of the same guest, in a spare shell where the driver has one; its base is this snapshot.
   *
   * @throws MAYFLY_ERR_SNAPSHOT_CLOSED, and what the driver throws.
   */
  async instantiate(): Promise<Sandbox> {
    const base = Snapshot.hold(this, this.#version);
    try {
      const vm = await this.#version.driver.createVmFromSnapshot(base.start);
      return new Sandbox({ version: this.#version, vm, base });
    } catch (error) {
      base.release();
      throw error;
    }
  }

  /** Lets go of the snapshot; sandboxes made from it go on. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#shared.release();
  }

  /** @internal The shared snapshot, held once more. */
  static hold(snapshot: Snapshot, version: GuestVersion): SharedSnapshot {
    if (!(snapshot instanceof Snapshot))
      throw hypervisorError('MAYFLY_ERR_SNAPSHOT_MISMATCH', 'this is not a snapshot');
    if (snapshot.#closed) throw hypervisorError('MAYFLY_ERR_SNAPSHOT_CLOSED', 'the snapshot is closed');
    if (snapshot.#version !== version)
      throw hypervisorError('MAYFLY_ERR_SNAPSHOT_MISMATCH', 'Snapshot was taken from a different sandbox');
    return snapshot.#shared.hold();
  }
}
