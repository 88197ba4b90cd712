import { randomBytes } from 'node:crypto';
import {
  isMayflyError,
  type MemorySizes,
  type Outcome,
  type OutcomeDetail,
  type Signature,
} from '@mayfly/contracts';
import { type CallBudget, resolveBudget } from './call-budget.js';
import { isTimeout } from './call-options.js';
import { CallState } from './call-state.js';
import type { GuestLogRecord } from './codec/guest-log.js';
import { encodeHostFunctionDetails } from './codec/host-function-details.js';
import type { DriverSnapshot, DriverVm, GeneralRegisters, HypervisorDriver, VmPlan } from './driver.js';
import { checkElf, type ElfImage } from './elf/index.js';
import { hypervisorError } from './errors.js';
import { type Fault, fault, hex } from './faults.js';
import type { GuestVersion } from './guest-version.js';
import {
  checkHostFunction,
  HOST_PRINT,
  type HostFunction,
  type HostFunctionEntry,
} from './host-functions.js';
import { Hypervisor } from './hypervisor.js';
import { LiveCheck, type LiveCheckOptions, registersOf } from './live-check.js';
import { LOG_LEVELS, type LogLevel } from './log-level.js';
import { type InitData, type ResolvedInitData, resolveInitData } from './memory/init-data.js';
import { type GuestLayout, layoutMemory, PAGE_BYTES } from './memory/layout.js';
import { DISPATCH_POINTER_OFFSET } from './memory/peb.js';
import { COOKIE_BYTES, planVm } from './memory/plan.js';
import { resolveMemory } from './memory/sizes.js';
import type { RunObserver } from './run-observer.js';
import { Sandbox } from './sandbox.js';
import { SharedSnapshot } from './shared-snapshot.js';

export interface SandboxOptions {
  /** @defaultValue DEFAULT_MEMORY of the contracts; buffers below 8 KiB are raised to it (guest-abi 1.1) */
  readonly memory?: Partial<MemorySizes>;
  /** Bytes for the guest, at the place that its PEB names. @defaultValue none */
  readonly initData?: InitData;
  /** What the guest's logger sends at most. @defaultValue what RUST_LOG asks for (guest-abi 4.4), else error */
  readonly logLevel?: LogLevel;
  /** Time for the guest's initialisation. @defaultValue 10_000 */
  readonly initTimeoutMs?: number;
  /** Of every call, and of the initialisation. @defaultValue DEFAULT_BUDGET, for each limit that is not named */
  readonly budget?: Partial<CallBudget>;
  /** Comparison of guest memory with the base, now and then. */
  readonly liveCheck?: LiveCheckOptions;
  /** Looks on at every run, the initialisation included. */
  readonly observer?: RunObserver;
  /**
   * Where the guest runs (`VmPlan.privilege`). `supervisor`: in ring 0 of its VM, as the reference host runs its guests, for
   * comparing with it: less isolation, no warm snapshot, dearer calls. Never for code that nobody trusts; a driver without
   * it refuses with MAYFLY_ERR_VM_PLAN. @defaultValue 'user'
   */
  readonly privilege?: Privilege;
}

export type Privilege = NonNullable<VmPlan['privilege']>;
const PRIVILEGES: readonly Privilege[] = ['user', 'supervisor'];

/** Why `evolve` failed, when the guest is at fault: the details of MAYFLY_ERR_GUEST_INIT. */
export interface GuestInitFailure {
  readonly outcome: Exclude<Outcome, 'succeeded'>;
  readonly detail: OutcomeDetail;
  readonly logs: readonly GuestLogRecord[];
  readonly printed: string;
}

/** The failed initialisation in an error of `evolve`; `undefined` for any other error. */
export function guestInitFailure(error: unknown): GuestInitFailure | undefined {
  return isMayflyError(error, 'MAYFLY_ERR_GUEST_INIT')
    ? (error.details as unknown as GuestInitFailure)
    : undefined;
}

/** Region of the host function definitions: a page, more when the list needs it, up to this (guest-abi 1.1). */
const MAX_HOST_FUNCTIONS_BYTES = 64 * 1024;

/** The beginning of a call is short; a guest that runs on instead of looking at its input has no warm snapshot. */
const PRIME_DEADLINE_US = 100_000;

/**
 * Checks a guest binary and its options. Nothing runs yet.
 *
 * @throws MAYFLY_ERR_ELF_*, MAYFLY_ERR_SANDBOX_OPTIONS, MAYFLY_ERR_MEMORY_TOO_BIG.
 */
export async function loadSandbox(
  driver: HypervisorDriver,
  elf: Uint8Array,
  options: SandboxOptions = {},
): Promise<UninitializedSandbox> {
  const { logLevel, initTimeoutMs = 10_000, privilege = 'user' } = options;
  if (logLevel !== undefined && !LOG_LEVELS.includes(logLevel))
    throw hypervisorError(
      'MAYFLY_ERR_SANDBOX_OPTIONS',
      `logLevel is ${String(logLevel)}: expected ${LOG_LEVELS.join(', ')}`,
      { details: { option: 'logLevel' } },
    );
  if (!isTimeout(initTimeoutMs))
    throw hypervisorError(
      'MAYFLY_ERR_SANDBOX_OPTIONS',
      `initTimeoutMs is ${String(initTimeoutMs)}: expected milliseconds above 0`,
      { details: { option: 'initTimeoutMs' } },
    );
  if (!PRIVILEGES.includes(privilege))
    throw hypervisorError(
      'MAYFLY_ERR_SANDBOX_OPTIONS',
      `privilege is ${String(privilege)}: expected ${PRIVILEGES.join(', ')}`,
      { details: { option: 'privilege' } },
    );
  const memory = resolveMemory(options.memory);
  const budget = resolveBudget(options.budget);
  const liveCheck = new LiveCheck(options.liveCheck);
  const initData = resolveInitData(options.initData);
  const image = checkElf(elf);
  layoutMemory({
    imageBytes: image.imageBytes,
    memory,
    hostFunctionsBytes: PAGE_BYTES,
    initData: partOf(initData),
  });
  return new UninitializedSandbox({
    driver,
    image,
    memory,
    initData,
    logLevel,
    initTimeoutMs,
    budget,
    liveCheck,
    observer: options.observer,
    privilege,
  });
}

function partOf(initData: ResolvedInitData | undefined) {
  return initData && { lengthBytes: initData.bytes.byteLength, rights: initData.rights };
}

interface LoadedGuest {
  readonly driver: HypervisorDriver;
  readonly image: ElfImage;
  readonly memory: MemorySizes;
  readonly initData: ResolvedInitData | undefined;
  readonly logLevel: LogLevel | undefined;
  readonly initTimeoutMs: number;
  readonly budget: CallBudget;
  readonly liveCheck: LiveCheck;
  readonly observer: RunObserver | undefined;
  readonly privilege: Privilege;
}

/** A checked guest that has not run: host functions are registered here, and only here (guest-abi 8.1). */
export class UninitializedSandbox {
  readonly #guest: LoadedGuest;
  readonly #hostFunctions = new Map<string, HostFunctionEntry>([['HostPrint', HOST_PRINT]]);
  #state: 'loaded' | 'evolving' | 'evolved' | 'closed' = 'loaded';
  #evolving: Promise<unknown> | undefined;
  #closeRequested = false;
  #vm: DriverVm | undefined;

  /** Not for callers: see `loadSandbox`. */
  constructor(guest: LoadedGuest) {
    this.#guest = guest;
  }

  /**
   * Registers a host function; an existing name is replaced, `HostPrint` included.
   *
   * @throws MAYFLY_ERR_HOST_FUNCTION, MAYFLY_ERR_SANDBOX_STATE once `evolve` or `close` was called.
   */
  registerHostFunction(name: string, signature: Signature, handler: HostFunction): this {
    this.#checkLoaded();
    const entry = { signature, handler };
    checkHostFunction(name, entry);
    const { params, returns } = signature;
    this.#hostFunctions.set(name, {
      signature: Object.freeze({ params: Object.freeze([...params]), returns }),
      handler,
    });
    return this;
  }

  /**
   * Creates the VM, runs the guest's initialisation to its first halt and takes the base snapshot. This object is
   * used up by it, and a failure closes the VM.
   *
   * @throws MAYFLY_ERR_GUEST_INIT when the guest fails (see `guestInitFailure`), MAYFLY_ERR_HOST_FUNCTION when the
   * list of host functions is too long, MAYFLY_ERR_MEMORY_TOO_BIG, MAYFLY_ERR_SANDBOX_STATE, and what the driver
   * throws.
   */
  async evolve(): Promise<Sandbox> {
    this.#checkLoaded();
    this.#state = 'evolving';
    const evolving = this.#evolve();
    this.#evolving = evolving;
    try {
      const sandbox = await evolving;
      this.#state = 'evolved';
      return sandbox;
    } catch (error) {
      this.#state = 'closed';
      throw error;
    }
  }

  /** Ends a running initialisation and frees its VM; nothing once `evolve` has answered. Idempotent. */
  async close(): Promise<void> {
    if (this.#state === 'evolving') {
      this.#closeRequested = true;
      await this.#vm?.close();
      await this.#evolving?.catch(() => undefined);
    } else if (this.#state === 'loaded') this.#state = 'closed';
  }

  #checkLoaded(): void {
    if (this.#state !== 'loaded')
      throw hypervisorError('MAYFLY_ERR_SANDBOX_STATE', `the sandbox is ${this.#state}, no longer loaded`);
  }

  async #evolve(): Promise<Sandbox> {
    const { driver, image, memory, initData, budget, liveCheck, privilege } = this.#guest;
    const hostFunctions = encodeHostFunctionDetails(
      new Map([...this.#hostFunctions].map(([name, { signature }]) => [name, signature])),
    );
    if (hostFunctions.byteLength > MAX_HOST_FUNCTIONS_BYTES)
      throw hypervisorError(
        'MAYFLY_ERR_HOST_FUNCTION',
        'Host Function Details buffer is too big for the host_function_definitions buffer',
      );
    const layout = layoutMemory({
      imageBytes: image.imageBytes,
      memory,
      hostFunctionsBytes: Math.max(PAGE_BYTES, hostFunctions.byteLength),
      initData: partOf(initData),
    });
    const cookie = randomBytes(COOKIE_BYTES);
    const vm = await driver.createVm(
      planVm({ image, layout, hostFunctions, cookie, initData: initData?.bytes, privilege }),
    );
    this.#vm = vm;
    try {
      if (this.#closeRequested)
        throw hypervisorError('MAYFLY_ERR_SANDBOX_CLOSED', 'the sandbox was closed before its guest ran');
      const dispatch = await this.#initialise(vm, layout, cookie);
      const plain = await vm.snapshot();
      const callEntry = Object.freeze({ rip: dispatch, rsp: BigInt(layout.stackPointer) });
      const warm = await this.#prime(vm, layout, callEntry);
      const base = new SharedSnapshot(plain, warm, await registersOf(vm, warm !== undefined));
      const version: GuestVersion = {
        driver,
        layout,
        cookie,
        hostFunctions: this.#hostFunctions,
        budget,
        liveCheck,
        observer: this.#guest.observer,
        callEntry,
      };
      return new Sandbox({ version, vm, base });
    } catch (error) {
      await vm.close();
      throw error;
    }
  }

  /**
   * Takes the warm snapshot: the beginning of a call, paid once per version. It cannot depend on what differs between
   * calls, the input and the generation. `undefined` where the driver or the guest does not have it.
   */
  async #prime(
    vm: DriverVm,
    layout: GuestLayout,
    entry: Partial<GeneralRegisters>,
  ): Promise<DriverSnapshot | undefined> {
    const { address, lengthBytes } = layout.peb;
    return await vm.primeSnapshot?.({
      entry,
      untouched: [
        { address, lengthBytes: Math.max(lengthBytes, PAGE_BYTES) },
        { address: layout.input.address, lengthBytes: layout.input.lengthBytes },
      ],
      deadlineUs: PRIME_DEADLINE_US,
    });
  }

  /** @returns the address of the guest's dispatch function */
  async #initialise(vm: DriverVm, layout: GuestLayout, cookie: Uint8Array): Promise<bigint> {
    const { image, logLevel, initTimeoutMs, budget } = this.#guest;
    const state = new CallState(initTimeoutMs, undefined, budget);
    const hypervisor = new Hypervisor({
      vm,
      layout,
      cookie,
      hostFunctions: this.#hostFunctions,
      logLevel,
      observer: this.#guest.observer,
    });
    const end = await hypervisor.initialise(
      {
        entryPoint: layout.code.address + image.entry,
        seed: randomBytes(8).readBigUInt64LE(),
        pageBytes: PAGE_BYTES,
        timeoutMs: initTimeoutMs,
      },
      state,
    );
    if (end.reason !== 'halted') throw initError(end, state);
    const dispatch = Buffer.from(vm.read(layout.peb.address + DISPATCH_POINTER_OFFSET, 8)).readBigUInt64LE();
    if (dispatch === 0n)
      throw initError(fault('bad-dispatch-pointer', 'Dispatch function address is null'), state);
    const { address, lengthBytes } = layout.code;
    if (dispatch < BigInt(address) || dispatch >= BigInt(address + lengthBytes))
      throw initError(
        fault('bad-dispatch-pointer', `Dispatch function address ${hex(dispatch)} is outside the code`),
        state,
      );
    return dispatch;
  }
}

function initError({ outcome, detail }: Fault, state: CallState) {
  if (outcome === 'host-fault') return hypervisorError('MAYFLY_ERR_HYPERVISOR', detail.message);
  const details: GuestInitFailure = { outcome, detail, logs: state.logs, printed: state.printed.toString() };
  return hypervisorError('MAYFLY_ERR_GUEST_INIT', `initialisation ended as ${outcome}: ${detail.message}`, {
    details: { ...details },
  });
}
