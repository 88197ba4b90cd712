import { defineErrors, type ErrorDefinition } from '@mayfly/contracts';

interface GatewayErrorDefinition extends ErrorDefinition {
  /** The word that a problem's `code` carries. */
  readonly problem: string;
}

const caller = { fault: 'caller', retryable: false, poisons: false } as const;
const host = { fault: 'host', retryable: true, poisons: false } as const;

/** Errors of the gateway, and the problem each one is answered as. */
const GATEWAY_ERRORS = {
  MAYFLY_ERR_GATEWAY_CONFIG: {
    ...host,
    retryable: false,
    status: 500,
    problem: 'configuration',
    title: 'The configuration is wrong',
  },
  MAYFLY_ERR_GATEWAY_INVALID_REQUEST: {
    ...caller,
    status: 400,
    problem: 'invalid-request',
    title: 'The request is not valid',
  },
  MAYFLY_ERR_GATEWAY_DIGEST_MISMATCH: {
    ...caller,
    status: 400,
    problem: 'digest-mismatch',
    title: 'The content does not match its digest',
  },
  MAYFLY_ERR_GATEWAY_UNAUTHORIZED: {
    ...caller,
    status: 401,
    problem: 'unauthorized',
    title: 'No valid key was given',
  },
  MAYFLY_ERR_GATEWAY_FORBIDDEN: {
    ...caller,
    status: 403,
    problem: 'forbidden',
    title: 'The key may not do this',
  },
  MAYFLY_ERR_GATEWAY_NOT_FOUND: {
    ...caller,
    status: 404,
    problem: 'not-found',
    title: 'There is no such thing',
  },
  MAYFLY_ERR_GATEWAY_REQUEST_TIMEOUT: {
    ...caller,
    status: 408,
    retryable: true,
    problem: 'request-timeout',
    title: 'The request took too long to arrive',
  },
  MAYFLY_ERR_GATEWAY_ALIAS_IN_USE: {
    ...caller,
    status: 409,
    problem: 'alias-in-use',
    title: 'An alias sends calls to it',
  },
  MAYFLY_ERR_GATEWAY_QUARANTINED: {
    ...caller,
    status: 409,
    problem: 'quarantined',
    title: 'Hosts died of this version, so that no worker runs it',
  },
  MAYFLY_ERR_GATEWAY_NOT_ROUTABLE: {
    ...caller,
    retryable: true,
    status: 409,
    problem: 'not-routable',
    title: 'No worker has a snapshot of the version yet',
  },
  MAYFLY_ERR_GATEWAY_CONFLICT: {
    ...caller,
    status: 409,
    problem: 'conflict',
    title: 'What is there stands against it',
  },
  MAYFLY_ERR_GATEWAY_IDEMPOTENT_RUNNING: {
    ...caller,
    status: 409,
    retryable: true,
    problem: 'idempotent-request-running',
    title: 'The request of this Idempotency-Key has not ended',
  },
  MAYFLY_ERR_GATEWAY_IDEMPOTENCY_KEY_REUSED: {
    ...caller,
    status: 422,
    problem: 'idempotency-key-reused',
    title: 'This Idempotency-Key came with another request',
  },
  MAYFLY_ERR_GATEWAY_NOT_ENDED: {
    ...caller,
    status: 409,
    retryable: true,
    problem: 'not-ended',
    title: 'The invocation has not ended',
  },
  MAYFLY_ERR_GATEWAY_RESULT_EXPIRED: {
    ...caller,
    status: 410,
    problem: 'result-expired',
    title: 'The result is no longer kept',
  },
  MAYFLY_ERR_GATEWAY_PRECONDITION: {
    ...caller,
    status: 412,
    problem: 'precondition-failed',
    title: 'It has been changed meanwhile',
  },
  MAYFLY_ERR_GATEWAY_TOO_LARGE: { ...caller, status: 413, problem: 'too-large', title: 'Too large' },
  MAYFLY_ERR_GATEWAY_MEDIA_TYPE: {
    ...caller,
    status: 415,
    problem: 'unsupported-media-type',
    title: 'This content type is not taken here',
  },
  MAYFLY_ERR_GATEWAY_ARTIFACT: {
    ...caller,
    status: 422,
    problem: 'invalid-elf',
    title: 'The binary is not one that can run here',
  },
  MAYFLY_ERR_GATEWAY_SNAPSHOT_FAILED: {
    ...caller,
    status: 424,
    problem: 'snapshot-failed',
    title: 'The version cannot be initialised',
  },
  MAYFLY_ERR_GATEWAY_PRECONDITION_REQUIRED: {
    ...caller,
    status: 428,
    problem: 'precondition-required',
    title: 'The request must say what it changes',
  },
  MAYFLY_ERR_GATEWAY_QUOTA: {
    ...caller,
    status: 429,
    problem: 'quota-exceeded',
    title: 'The tenant has no more of this',
  },
  MAYFLY_ERR_GATEWAY_TENANT_BUSY: {
    ...caller,
    status: 429,
    retryable: true,
    problem: 'too-many-requests',
    title: 'The tenant uses all that it may',
  },
  MAYFLY_ERR_GATEWAY_HEADERS_TOO_LARGE: {
    ...caller,
    status: 431,
    problem: 'headers-too-large',
    title: 'The header fields are too large',
  },
  MAYFLY_ERR_GATEWAY_INTERNAL: {
    ...host,
    retryable: false,
    status: 500,
    problem: 'internal-error',
    title: 'The gateway failed',
  },
  MAYFLY_ERR_GATEWAY_OUTBOUND_REFUSED: {
    ...caller,
    status: 400,
    problem: 'outbound-refused',
    title: 'Requests do not go there',
  },
  MAYFLY_ERR_GATEWAY_OUTBOUND_FAILED: {
    ...caller,
    status: 502,
    retryable: true,
    problem: 'outbound-failed',
    title: 'The other side did not take the request',
  },
  MAYFLY_ERR_GATEWAY_SATURATED: {
    ...host,
    status: 503,
    problem: 'saturated',
    title: 'The platform is saturated',
  },
  MAYFLY_ERR_GATEWAY_UNAVAILABLE: {
    ...host,
    status: 503,
    problem: 'unavailable',
    title: 'The platform is not available',
  },
  MAYFLY_ERR_GATEWAY_NO_SECRETS: {
    ...host,
    retryable: false,
    status: 503,
    problem: 'no-secrets',
    title: 'The platform has no key to keep secrets with',
  },
  MAYFLY_ERR_GATEWAY_CANCEL_UNCONFIRMED: {
    ...host,
    status: 503,
    problem: 'cancel-unconfirmed',
    title: 'It is not known that the call has stopped',
  },
  MAYFLY_ERR_GATEWAY_NO_HOST: {
    ...host,
    status: 503,
    problem: 'no-host',
    title: 'No worker is alive that may run this call',
  },
  MAYFLY_ERR_GATEWAY_DRAINING: {
    ...host,
    status: 503,
    problem: 'draining',
    title: 'The gateway is shutting down',
  },
  MAYFLY_ERR_GATEWAY_CALL_LOST: { ...host, status: 503, problem: 'host-fault', title: 'The host failed' },
  MAYFLY_ERR_GATEWAY_QUEUE_TIMEOUT: {
    ...host,
    status: 504,
    problem: 'queue-timeout',
    title: 'No worker took the call in time',
  },
} as const satisfies Record<string, GatewayErrorDefinition>;

export type GatewayErrorCode = keyof typeof GATEWAY_ERRORS;

export const gatewayError = defineErrors(GATEWAY_ERRORS);

/** The `code` word of a problem for an error code of this package; undefined for other packages' codes. */
export function problemWord(code: string): string | undefined {
  return Object.hasOwn(GATEWAY_ERRORS, code) ? GATEWAY_ERRORS[code as GatewayErrorCode].problem : undefined;
}

export interface RequestFault {
  /** JSON pointer into the body, or `#parameter` / `#header` for what stands outside of it. */
  readonly pointer: string;
  readonly detail: string;
}

/** 400 with one entry per thing that is wrong. */
export function invalidRequest(...errors: readonly RequestFault[]) {
  const [first] = errors;
  const detail = first === undefined ? 'the request is not valid' : `${first.pointer}: ${first.detail}`;
  return gatewayError('MAYFLY_ERR_GATEWAY_INVALID_REQUEST', detail, { details: { errors } });
}

/** 404 for what the caller named and the tenant does not have. */
export function notFound(what: string) {
  return gatewayError('MAYFLY_ERR_GATEWAY_NOT_FOUND', `there is no ${what}`);
}

/** 409: what is there stands against it. */
export function conflict(detail: string, details: Record<string, unknown> = {}) {
  return gatewayError('MAYFLY_ERR_GATEWAY_CONFLICT', detail, { details });
}

/** 413 that names the limit. */
export function tooLarge(name: string, value: number) {
  return gatewayError('MAYFLY_ERR_GATEWAY_TOO_LARGE', `more than ${name} = ${value}`, {
    details: { limit: { name, value } },
  });
}

/** 429 that names the quota; waiting changes nothing about it. */
export function quotaExceeded(limit: { name: string; value: number; current: number }) {
  const { name, value, current } = limit;
  return gatewayError('MAYFLY_ERR_GATEWAY_QUOTA', `${name} = ${value}, and this would be ${current}`, {
    details: { limit },
  });
}
