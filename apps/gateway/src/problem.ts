import {
  type InvocationRecord,
  isMayflyError,
  LIMITS,
  type MayflyError,
  OUTCOMES,
  type Outcome,
} from '@mayfly/contracts';
import { gatewayError, invalidRequest, problemWord, type RequestFault, tooLarge } from './errors.js';

/** One HTTP answer, ready to send. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

const ORIGINS = { caller: 'client', guest: 'guest', host: 'platform' } as const;
export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';
const DEFAULT_RETRY_AFTER_S = 1;

/** What the details of an error may hold for its problem. */
interface ProblemFacts {
  readonly invocationId?: string;
  readonly errors?: readonly RequestFault[];
  readonly limit?: { readonly name: string; readonly value: number; readonly current?: number };
  readonly retryAfterS?: number;
  /** What the caller may follow instead. */
  readonly location?: string;
  /** Further header fields. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly aliases?: readonly string[];
}

/** The words of a problem are also its type, as a URN: there is no page of ours that a URL could name. */
const typeOf = (code: string): string => `urn:mayfly:problem:${code}`;

/**
 * The problem (RFC 9457) that an error is answered as. Whatever was thrown, nothing of a host fault leaves but fixed
 * text.
 */
export function problemOfError(thrown: unknown): Answer {
  const error = toMayflyError(thrown);
  const { definition } = error;
  const details: ProblemFacts = error.details;
  const code = problemWord(error.code) ?? foreignWord(error);
  const hidden = definition.fault === 'host' && problemWord(error.code) === undefined;
  const retryAfterS = retryAfterOf(error);
  const body = {
    type: typeOf(code),
    title: definition.title,
    status: definition.status,
    code,
    origin: definition.status === 429 ? 'tenant' : ORIGINS[definition.fault],
    retryable: definition.retryable,
    detail: hidden || definition.status === 500 ? 'The cause is in the log of the platform.' : error.message,
    ...(retryAfterS !== undefined && { retryAfterMs: retryAfterS * 1000 }),
    ...(details.invocationId !== undefined && {
      instance: `/v1/invocations/${details.invocationId}`,
      invocationId: details.invocationId,
    }),
    ...(details.errors !== undefined && { errors: details.errors }),
    ...(details.limit !== undefined && { limit: details.limit }),
    ...(details.aliases !== undefined && { aliases: details.aliases }),
  };
  return {
    status: definition.status,
    headers: {
      'content-type': PROBLEM_TYPE,
      ...(retryAfterS !== undefined && { 'retry-after': String(retryAfterS) }),
      ...details.headers,
      ...(definition.status === 401 && { 'www-authenticate': 'Bearer' }),
      ...(details.invocationId !== undefined && { 'invocation-id': details.invocationId }),
      ...(details.location !== undefined && { location: details.location }),
    },
    body: JSON.stringify(body),
  };
}

/** The problem that a record with another outcome than `succeeded` is answered as; depends on the record alone. */
export function problemOfRecord(record: InvocationRecord): Answer {
  const outcome: Outcome = record.outcome;
  const { status, origin, title } = OUTCOMES[outcome];
  const detail = record.detail;
  const hostFault = outcome === 'host-fault';
  const body = {
    type: typeOf(outcome),
    title,
    status,
    code: outcome,
    origin,
    retryable: hostFault,
    detail: hostFault ? 'The cause is in the log of the platform.' : (detail?.message ?? title),
    instance: `/v1/invocations/${record.invocationId}`,
    invocationId: record.invocationId,
    function: record.function,
    version: record.version,
    ...(!hostFault && detail !== undefined && guestFacts(detail)),
    ...(record.logTail !== '' && { logTail: record.logTail }),
    ...(record.trace && { traceId: record.trace.id }),
    timings: record.timings,
    usage: record.usage,
  };
  return {
    status,
    headers: {
      'content-type': PROBLEM_TYPE,
      ...(origin === 'guest' && { 'function-error': outcome }),
      ...(hostFault && { 'retry-after': String(DEFAULT_RETRY_AFTER_S) }),
    },
    body: JSON.stringify(body),
  };
}

function guestFacts(detail: NonNullable<InvocationRecord['detail']>) {
  const { message, guestCode, guestCodeName, vector, rip, address } = detail;
  return { message, guestCode, guestCodeName, vector, rip, address };
}

/** Whether the log has to hold what the caller is not told. */
export function isHostFault(thrown: unknown): boolean {
  return toMayflyError(thrown).definition.fault === 'host';
}

function retryAfterOf(error: MayflyError): number | undefined {
  const given = (error.details as ProblemFacts).retryAfterS;
  if (given !== undefined) return given;
  const { status, retryable } = error.definition;
  return status === 503 || (status === 429 && retryable) ? DEFAULT_RETRY_AFTER_S : undefined;
}

/** Errors of the rooms below have no word of ours; their area decides. */
function foreignWord(error: MayflyError): string {
  if (error.code === 'MAYFLY_ERR_BLOB_DIGEST') return 'digest-mismatch';
  if (error.definition.status === 413) return 'too-large';
  if (error.definition.fault === 'host') return 'unavailable';
  return 'invalid-request';
}

interface FrameworkError {
  readonly code?: string;
  readonly statusCode?: number;
  readonly validation?: readonly { readonly instancePath: string; readonly message?: string }[];
  readonly message?: string;
  readonly faults?: readonly RequestFault[];
}

function toMayflyError(thrown: unknown): MayflyError {
  if (isMayflyError(thrown)) return thrown;
  const { code = '', statusCode, message = '', faults } = (thrown ?? {}) as FrameworkError;
  if (faults !== undefined) return invalidRequest(...faults);
  const cause = { cause: thrown };
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return tooLarge('invocationBodyBytes', LIMITS.invocationBodyBytes);
  if (statusCode === 413) return gatewayError('MAYFLY_ERR_GATEWAY_TOO_LARGE', message, cause);
  if (code === 'FST_INVALID_JSON_FIELD_ERROR')
    return invalidRequest({ pointer: '/manifest', detail: 'expected JSON' });
  if (statusCode === 415 || statusCode === 406)
    return gatewayError('MAYFLY_ERR_GATEWAY_MEDIA_TYPE', message, cause);
  if (statusCode === 404) return gatewayError('MAYFLY_ERR_GATEWAY_NOT_FOUND', message, cause);
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return gatewayError('MAYFLY_ERR_GATEWAY_INVALID_REQUEST', message, cause);
  return gatewayError('MAYFLY_ERR_GATEWAY_INTERNAL', 'an unexpected error', cause);
}
