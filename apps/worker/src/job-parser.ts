import {
  type AliasRef,
  type FunctionRef,
  type InvocationInput,
  type InvocationItem,
  type InvocationJob,
  isAliasName,
  isEntrypointName,
  isFunctionName,
  isInvocationId,
  isKvmKind,
  isSha256Hex,
  isTenantName,
  JOB_VERSION,
  type JsonValue,
  jobVersionOf,
  LIMITS,
  type MayflyError,
  PARAMETER_TYPES,
  PLACED_JOB_VERSION,
  RETURN_TYPES,
  type ReplyAddress,
  type ReturnType,
} from '@mayfly/contracts';
import { workerError } from './errors.js';

/** Longest path that a unix socket can have (`sun_path`, less its terminator). */
const SOCKET_PATH_BYTES = 107;

export interface ParsedJob {
  readonly function: FunctionRef;
  readonly reply?: ReplyAddress;
  readonly items: readonly InvocationItem[];
  /** Items that cannot be run, but be named in a record. */
  readonly badItems: readonly BadItem[];
}

export interface BadItem {
  readonly invocationId: string;
  readonly entrypoint: string;
  readonly returns: ReturnType;
  readonly acceptedAtMs: number;
  readonly replyToken?: string;
  readonly traceparent?: string;
  readonly tracestate?: string;
  readonly problem: string;
}

/** An object whose fields are known by name only. */
type Unchecked<T> = { readonly [K in keyof T]?: unknown };

/** Fields of every kind of input. */
type AnyInput = Record<'kind' | 'args' | 'as' | 'base64' | 'of' | 'sha256' | 'lengthBytes', unknown>;

/**
 * Reads a job's data. Redis is trusted with rights, not with shapes: a gateway of another release or a damaged
 * entry must end in a named failure. An item without an invocation id is left out: nobody could ask for its record.
 * @throws MAYFLY_ERR_JOB_VERSION, MAYFLY_ERR_JOB_MALFORMED when none of its invocations can be named.
 */
export function parseJob(data: unknown): ParsedJob {
  if (!isFields<InvocationJob>(data)) throw malformed('expected an object');
  if (data.v !== JOB_VERSION && data.v !== PLACED_JOB_VERSION)
    throw workerError(
      'MAYFLY_ERR_JOB_VERSION',
      `expected job version ${JOB_VERSION} or ${PLACED_JOB_VERSION}`,
    );
  const { items } = data;
  if (!isFunctionRef(data.function)) throw malformed('expected a function reference', 'function');
  if (data.v !== jobVersionOf(data.function))
    throw malformed(`version ${data.v} goes with another function reference`, 'v');
  if (!Array.isArray(items) || items.length < 1 || items.length > LIMITS.invocationsPerJob)
    throw malformed(`expected 1 to ${LIMITS.invocationsPerJob} items`, 'items');
  const { reply } = data;
  if (reply !== undefined && !isReplyAddress(reply)) throw malformed('expected a reply address', 'reply');

  const good: InvocationItem[] = [];
  const bad: BadItem[] = [];
  for (const item of items as unknown[]) {
    const problem = itemProblem(item);
    if (problem === undefined) good.push(item as InvocationItem);
    else if (hasInvocationId(item)) bad.push(badItem(item, problem));
  }
  if (good.length + bad.length === 0) throw malformed('expected items with an invocation id', 'items');
  return {
    function: data.function,
    ...(reply === undefined ? {} : { reply }),
    items: good,
    badItems: bad,
  };
}

/** A version as an upload announces it; undefined when it is not one. */
export function parseFunctionRef(data: unknown): FunctionRef | undefined {
  return isFunctionRef(data) ? data : undefined;
}

function itemProblem(item: unknown): string | undefined {
  if (!isFields<InvocationItem>(item)) return 'expected an object';
  if (!isText(item.invocationId, isInvocationId)) return 'invocationId';
  if (!isText(item.entrypoint, isEntrypointName)) return 'entrypoint';
  if (!isReturnType(item.returns)) return 'returns';
  if (!isInteger(item.timeoutMs, 1, LIMITS.timeoutMs)) return 'timeoutMs';
  if (!isTime(item.acceptedAtMs)) return 'acceptedAtMs';
  if (item.expiresAtMs !== undefined && !isTime(item.expiresAtMs)) return 'expiresAtMs';
  if (item.replyToken !== undefined && !isReplyToken(item.replyToken)) return 'replyToken';
  if (item.alias !== undefined && !isAliasRef(item.alias)) return 'alias';
  const { storeResult } = item;
  if (storeResult !== undefined && storeResult !== 'on-failure' && storeResult !== 'never')
    return 'storeResult';
  if (item.env !== undefined && !isTable(item.env, (value) => typeof value === 'string')) return 'env';
  if (
    item.secrets !== undefined &&
    !isTable(item.secrets, (value) => isInteger(value, 1, Number.MAX_SAFE_INTEGER))
  )
    return 'secrets';
  return isInput(item.input) ? undefined : 'input';
}

function badItem(item: Unchecked<InvocationItem> & { invocationId: string }, problem: string): BadItem {
  const { replyToken } = item;
  return {
    invocationId: item.invocationId,
    entrypoint: isText(item.entrypoint, isEntrypointName) ? item.entrypoint : '',
    returns: isReturnType(item.returns) ? item.returns : 'void',
    acceptedAtMs: isTime(item.acceptedAtMs) ? item.acceptedAtMs : Date.now(),
    ...(isReplyToken(replyToken) ? { replyToken } : {}),
    problem,
  };
}

function hasInvocationId(item: unknown): item is Unchecked<InvocationItem> & { invocationId: string } {
  return isFields<InvocationItem>(item) && isText(item.invocationId, isInvocationId);
}

function isFunctionRef(value: unknown): value is FunctionRef {
  if (!isFields<FunctionRef>(value)) return false;
  const { memory } = value;
  return (
    isText(value.tenant, isTenantName) &&
    isText(value.name, isFunctionName) &&
    isInteger(value.version, 1, Number.MAX_SAFE_INTEGER) &&
    isText(value.artifactSha256, isSha256Hex) &&
    isInteger(value.artifactBytes, 1, LIMITS.artifactBytes) &&
    (value.requiresKvm === undefined || isKvmKind(value.requiresKvm)) &&
    isFields<FunctionRef['memory']>(memory) &&
    (['heapBytes', 'stackBytes', 'inputBytes', 'outputBytes'] as const).every((field) =>
      isInteger(memory[field], 1, LIMITS[field]),
    )
  );
}

function isAliasRef(value: unknown): value is AliasRef {
  if (!isFields<AliasRef>(value)) return false;
  return isText(value.name, isAliasName) && isInteger(value.revision, 0, Number.MAX_SAFE_INTEGER);
}

function isReplyAddress(value: unknown): value is ReplyAddress {
  if (!isFields<ReplyAddress>(value)) return false;
  const { gatewayId, socketPath } = value;
  return (
    typeof gatewayId === 'string' &&
    /^[A-Za-z0-9._-]{1,100}$/.test(gatewayId) &&
    (socketPath === undefined || isSocketPath(socketPath))
  );
}

function isSocketPath(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    value.startsWith('/') &&
    !value.includes('\0') &&
    Buffer.byteLength(value) <= SOCKET_PATH_BYTES
  );
}

function isInput(value: unknown): value is InvocationInput {
  if (!isFields<AnyInput>(value)) return false;
  switch (value.kind) {
    case 'args': {
      const { args } = value;
      return Array.isArray(args) && args.length <= LIMITS.parameters && args.every(isArgument);
    }
    case 'body':
      return (value.as === 'bytes' || value.as === 'string') && typeof value.base64 === 'string';
    case 'blob':
      return (
        (value.of === 'args' || value.of === 'bytes' || value.of === 'string') &&
        isText(value.sha256, isSha256Hex) &&
        isInteger(value.lengthBytes, 0, Number.MAX_SAFE_INTEGER)
      );
    default:
      return false;
  }
}

/** A typed argument; whether its value fits its type is found when it is decoded. */
export function isArgument(value: unknown): boolean {
  return isFields<JsonValue>(value) && (PARAMETER_TYPES as readonly unknown[]).includes(value.type);
}

function isFields<T>(value: unknown): value is Unchecked<T> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Names → values of a kind. A settings table has at most so many, whatever a gateway says. */
const MAX_TABLE = 1_024;

function isTable(value: unknown, isValue: (value: unknown) => boolean): boolean {
  if (!isFields<Record<string, unknown>>(value)) return false;
  const values = Object.values(value);
  return values.length <= MAX_TABLE && values.every(isValue);
}

function isText(value: unknown, test: (text: string) => boolean): value is string {
  return typeof value === 'string' && test(value);
}

function isInteger(value: unknown, lowest: number, highest: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= lowest && (value as number) <= highest;
}

function isTime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}

function isReturnType(value: unknown): value is ReturnType {
  return (RETURN_TYPES as readonly unknown[]).includes(value);
}

function isReplyToken(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{32}$/.test(value);
}

function malformed(message: string, field?: string): MayflyError {
  return workerError('MAYFLY_ERR_JOB_MALFORMED', field === undefined ? message : `${field}: ${message}`);
}
