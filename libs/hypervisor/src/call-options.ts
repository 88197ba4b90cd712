import {
  LIMITS,
  PARAMETER_TYPES,
  type ParameterType,
  RETURN_TYPES,
  type ReturnType,
  type TypedValue,
} from '@mayfly/contracts';
import { isWellFormed, valueProblem } from './codec/value-check.js';
import { hypervisorError } from './errors.js';

export interface CallOptions {
  /** Time of the guest from its entry, host functions included, above 0. @defaultValue none */
  readonly timeoutMs?: number | undefined;
  /** An abort kills the call. */
  readonly signal?: AbortSignal | undefined;
  /** For host functions, as `ctx.call`. */
  readonly context?: unknown;
  /**
   * Gather what the guest tells of its own work, into the report's `trace`. Guests of our SDK record nothing unless
   * asked; it costs no VM exit. @defaultValue false
   */
  readonly trace?: boolean | undefined;
}

/** Longest that Node's timers take. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** @throws MAYFLY_ERR_CALL_ARGUMENTS. */
export function checkCall(name: string, args: readonly TypedValue[], returns: ReturnType): void {
  if (typeof name !== 'string' || name === '' || !isWellFormed(name))
    refuse('the function name is a string of well-formed Unicode, not empty', { argument: 'name' });
  if (!Array.isArray(args)) refuse('args is not a list of typed values', { argument: 'args' });
  if (args.length > LIMITS.parameters)
    refuse(`${args.length} arguments; at most ${LIMITS.parameters}`, { argument: 'args' });
  for (const [index, arg] of args.entries()) checkArgument(arg, index);
  if (!RETURN_TYPES.includes(returns))
    refuse(`${String(returns)} is not a return type`, { argument: 'returns' });
}

function checkArgument(arg: unknown, index: number): void {
  const { type, value } = (typeof arg === 'object' && arg !== null ? arg : {}) as {
    type?: ParameterType;
    value?: unknown;
  };
  if (type === undefined || !PARAMETER_TYPES.includes(type))
    refuse(`args[${index}]: ${String(type)} is not a parameter type`, { argument: `args[${index}]` });
  const problem = valueProblem(type, value);
  if (problem !== undefined) refuse(`args[${index}] (${type}): ${problem}`, { argument: `args[${index}]` });
}

/** @throws MAYFLY_ERR_CALL_ARGUMENTS. */
export function checkCallOptions(options: CallOptions): void {
  if (typeof options !== 'object' || options === null)
    refuse('the options are not an object', { argument: 'options' });
  const { timeoutMs, signal, trace } = options;
  if (timeoutMs !== undefined && !isTimeout(timeoutMs))
    refuse(`timeoutMs is ${String(timeoutMs)}: expected a number above 0, up to ${MAX_TIMEOUT_MS}`, {
      argument: 'timeoutMs',
    });
  if (signal !== undefined && !(signal instanceof AbortSignal))
    refuse('signal is not an AbortSignal', { argument: 'signal' });
  if (trace !== undefined && typeof trace !== 'boolean')
    refuse(`trace is ${String(trace)}: expected true or false`, { argument: 'trace' });
}

/** Whether a value is a time budget in milliseconds. */
export function isTimeout(value: unknown): value is number {
  return typeof value === 'number' && value > 0 && value <= MAX_TIMEOUT_MS;
}

function refuse(message: string, details: Record<string, unknown>): never {
  throw hypervisorError('MAYFLY_ERR_CALL_ARGUMENTS', message, { details });
}
