export { type AnswerExit, type AnswerOutboxEntry, CompletionRecords, NativeAnswer, Op } from './answer.js';
export type { AnswerLimits } from './answer-check.js';
export {
  cellExecutable,
  loadBinding,
  type NativeBinding,
  type NativeDriver,
  type NativeInterrupt,
  type NativeSharedKill,
  type NativeSnapshot,
  type NativeVm,
} from './binding.js';
export { CellEvent, type NativeCell, type NativeCellMessage, type NativeSeatKill } from './cell-binding.js';
export { CellCompletions } from './cell-completions.js';
export {
  CELL_LIMITS,
  CellMessage,
  type CellMessageFields,
  CellMessageWriter,
  cellPlanFile,
  cellRanges,
  cellRequestHead,
} from './cell-wire.js';
export { NativeCode, type NativeFailure, readFailure } from './failure.js';
export { JAIL_LAYERS, type JailLayer, type JailReport, readJailReport } from './jail-report.js';
export { REGISTER_NAMES, type RegisterName, type RegisterValues } from './registers.js';
export { type RequestFields, RequestWriter } from './request.js';
export {
  packRegisters,
  packSpecialRegisters,
  readRegisters,
  readSpecialRegisters,
  type SegmentValues,
  type SpecialRegisterValues,
  StateKind,
  stateBytes,
} from './state.js';
