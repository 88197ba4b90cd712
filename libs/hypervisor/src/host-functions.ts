import { PARAMETER_TYPES, RETURN_TYPES, type Signature, type TypedValue } from '@mayfly/contracts';
import type { FunctionCallAnswer } from './codec/function-call-result.js';
import { isWellFormed, typedValue, valueProblem } from './codec/value-check.js';
import { hypervisorError } from './errors.js';
import { GuestCode } from './guest-codes.js';

/** What a host function is told of the call it serves. */
export interface HostCallContext {
  /** Aborts when the call is killed or runs into its deadline; what the function answers after that is dropped. */
  readonly signal: AbortSignal;
  /** What is left of the call's time budget, at least 0; `Infinity` without one. */
  readonly remainingMs: number;
  /** What is left of the call's budget of host time, this host function's included; at least 0. */
  readonly remainingHostTimeMs: number;
  /** `CallOptions.context` of the call; `undefined` during initialisation. */
  readonly call: unknown;
}

/**
 * A function of the host that a guest may call. Arguments and result are JavaScript values of the signature's
 * types: int, uint, float, double `number`; long, ulong `bigint`; bool, string; bytes `Uint8Array`; void
 * `undefined`. What it throws, or a promise of it rejects with, goes to the guest as guest error 17 with the text.
 */
export type HostFunction = (ctx: HostCallContext, ...args: unknown[]) => unknown;

export interface HostFunctionEntry {
  readonly signature: Signature;
  readonly handler: HostFunction;
}

/** Host functions by their exact name (guest-abi 8.1). */
export type HostFunctionTable = ReadonlyMap<string, HostFunctionEntry>;

/** Always there unless it is replaced (guest-abi 8.1). Its text goes to the report of the call, not to stdout. */
export const HOST_PRINT: HostFunctionEntry = {
  signature: { params: ['string'], returns: 'int' },
  handler: (_ctx, text) => Buffer.byteLength(text as string),
};

/** guest-abi 8.3. */
const MAX_HOST_PARAMETERS = 32;
const MAX_NAME_BYTES = 256;
/** Keeps an error text within the smallest input buffer. */
const MAX_ERROR_TEXT_LENGTH = 1024;

/** @throws MAYFLY_ERR_HOST_FUNCTION for a name, signature or handler that is not one. */
export function checkHostFunction(name: string, entry: HostFunctionEntry): void {
  const refuse = (message: string): never => {
    throw hypervisorError('MAYFLY_ERR_HOST_FUNCTION', message);
  };
  if (typeof name !== 'string' || name === '' || !isWellFormed(name))
    refuse('the name of a host function is a string of well-formed Unicode, not empty');
  if (Buffer.byteLength(name) > MAX_NAME_BYTES)
    refuse(`the name of a host function has at most ${MAX_NAME_BYTES} bytes`);
  if (typeof entry.handler !== 'function') refuse(`the handler of ${name} is not a function`);
  const { params, returns } = entry.signature ?? {};
  if (!Array.isArray(params) || params.length > MAX_HOST_PARAMETERS)
    refuse(`the parameters of ${name} are a list of at most ${MAX_HOST_PARAMETERS} types`);
  const unknown = params.find((type) => !PARAMETER_TYPES.includes(type));
  if (unknown !== undefined) refuse(`${name}: ${String(unknown)} is not a parameter type`);
  if (!RETURN_TYPES.includes(returns)) refuse(`${name}: ${String(returns)} is not a return type`);
}

/** Rust's names of the types, as the texts of guest-abi 8.3 use them. */
const RUST_NAMES = {
  int: ['Int', 'i32'],
  uint: ['UInt', 'u32'],
  long: ['Long', 'i64'],
  ulong: ['ULong', 'u64'],
  float: ['Float', 'f32'],
  double: ['Double', 'f64'],
  string: ['String', 'String'],
  bool: ['Bool', 'bool'],
  bytes: ['VecBytes', 'Vec<u8>'],
  void: ['Void', '()'],
} as const;

/** An error for the guest, with the code that the ABI gives every failed host call (guest-abi 8.3). */
export function hostError(message: string): FunctionCallAnswer {
  return {
    ok: false,
    code: BigInt(GuestCode.HostFunctionError),
    message: message.slice(0, MAX_ERROR_TEXT_LENGTH),
  };
}

/** What is wrong with the guest's arguments, in the reference's words; `undefined` when they fit. */
export function argumentProblem(signature: Signature, args: readonly TypedValue[]): string | undefined {
  if (args.length !== signature.params.length)
    return `The number of arguments to the function is wrong: got ${args.length} expected ${signature.params.length}`;
  for (const [index, type] of signature.params.entries()) {
    const arg = args[index] as TypedValue;
    if (arg.type !== type)
      return `Failed To Convert Parameter Value ${debugText(arg)} to "${RUST_NAMES[type][1]}"`;
  }
  return undefined;
}

function debugText(value: TypedValue): string {
  const [name] = RUST_NAMES[value.type];
  switch (value.type) {
    case 'void':
      return name;
    case 'string':
      return `${name}(${JSON.stringify(value.value.slice(0, 64))})`;
    case 'bytes':
      return `${name}([${value.value.subarray(0, 16).join(', ')}])`;
    case 'float':
    case 'double':
      return `${name}(${Number.isInteger(value.value) ? value.value.toFixed(1) : value.value})`;
    default:
      return `${name}(${value.value})`;
  }
}

/** What a handler returned, as an answer to the guest. */
export function answerOf(name: string, entry: HostFunctionEntry, returned: unknown): FunctionCallAnswer {
  const type = entry.signature.returns;
  // A handler of type void may return anything: arrow functions return what their expression gives.
  const value = type === 'void' ? undefined : returned;
  const problem = valueProblem(type, value);
  return problem === undefined
    ? { ok: true, value: typedValue(type, value) }
    : hostError(`The host function ${name} answered with a value that is no ${type}: ${problem}`);
}

/** The text of whatever a handler threw. */
export function thrownText(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message;
  return typeof thrown === 'string' ? thrown : 'The host function failed';
}
