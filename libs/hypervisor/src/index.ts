export { type CallBudget, DEFAULT_BUDGET } from './call-budget.js';
export type { CallOptions } from './call-options.js';
export type { CallReport } from './call-report.js';
export { CallState, type HostCallTime } from './call-state.js';
export type { GuestLogLevel, GuestLogRecord } from './codec/guest-log.js';
export * from './driver.js';
export { createKvmDriver, type KvmDriverOptions } from './drivers/kvm.js';
export {
  createProcessDriver,
  type JailReport,
  type ProcessDriver,
  type ProcessDriverOptions,
  spawnCell,
} from './drivers/process.js';
export type { ElfImage } from './elf/elf-image.js';
export { checkElf } from './elf/index.js';
export { HYPERVISOR_ERRORS, type HypervisorErrorCode, hypervisorError } from './errors.js';
export type { VmExit } from './exits.js';
export {
  FAULT_RULES,
  type Fault,
  type FaultReason,
  type ReferenceError,
  referencePoisons,
  referenceText,
} from './faults.js';
export { type FpuState, fpuStateOf, fxsaveImage, resetFpuState } from './fpu-state.js';
export { entryRegisters, GENERAL_REGISTERS } from './general-registers.js';
export { guestCodeName } from './guest-codes.js';
export type {
  HostCallContext,
  HostFunction,
  HostFunctionEntry,
  HostFunctionTable,
} from './host-functions.js';
export {
  type DispatchOptions,
  Hypervisor,
  type HypervisorParts,
  type InitialiseOptions,
} from './hypervisor.js';
export { InterruptHandle } from './interrupt-handle.js';
export type { LiveCheckOptions, ResetMismatch } from './live-check.js';
export { LOG_LEVELS, type LogLevel, logLevelFromFilter } from './log-level.js';
export type { InitData } from './memory/init-data.js';
export { type GuestLayout, layoutMemory } from './memory/layout.js';
export {
  type DescriptorTable,
  initialSpecialRegisters,
  type SegmentRegister,
  type SpecialRegisters,
  segmentDescriptor,
  segmentOf,
} from './registers.js';
export type { SharedInterrupt } from './remote-interrupt.js';
export type { CrashDumpContext, DebugStop, RunObserver, TraceInfo } from './run-observer.js';
export { Sandbox, Snapshot } from './sandbox.js';
export {
  type GuestEvent,
  type GuestField,
  type GuestHostCall,
  type GuestSpan,
  type GuestTrace,
  type GuestTraceDropped,
  TRACE_LIMITS,
} from './trace/types.js';
export {
  type GuestInitFailure,
  guestInitFailure,
  loadSandbox,
  type Privilege,
  type SandboxOptions,
  UninitializedSandbox,
} from './uninitialized-sandbox.js';
export { type RunEnd, VirtualCPU } from './virtual-cpu.js';
