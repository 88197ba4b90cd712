import type { InvocationRecord, JsonValue, Timings, Usage } from '@mayfly/contracts';
import { gatewayError } from '../errors.js';
import { type Answer, problemOfError, problemOfRecord } from '../problem.js';
import type { AnswerShape } from './call.js';
import { isTerminal } from './invocation-store.js';

const JSON_TYPE = 'application/json; charset=utf-8';

/** A guest's bytes reach a browser as data: no script, no frame, no guess at their type. */
const GUEST_BYTES_HEADERS = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
  'cache-control': 'no-store',
} as const;

/**
 * The HTTP answer to an ended invocation: a function of the record and the result's bytes alone, so that the answer
 * read later has the bytes of the one that was waited for.
 * @param body the result's bytes, for a `string` or `bytes` result that is not inside the record
 */
export function answerOfRecord(
  record: InvocationRecord,
  body: Uint8Array | undefined,
  shape: AnswerShape,
): Answer {
  const code = isTerminal(record) ? record.code : expiredUnrun(record);
  const answer = code
    ? problemOfError(
        gatewayError(code, record.detail?.message ?? '', {
          details: { invocationId: record.invocationId },
        }),
      )
    : record.outcome !== 'succeeded'
      ? problemOfRecord(record)
      : shape.raw
        ? rawAnswer(record, body, shape.contentType)
        : envelopeAnswer(record, body);
  return {
    ...answer,
    headers: {
      ...answer.headers,
      'invocation-id': record.invocationId,
      'function-version': String(record.version),
      ...(record.alias !== undefined && { 'function-alias': record.alias }),
      'server-timing': serverTiming(record.timings),
      'invocation-usage': usageText(record.usage),
    },
  };
}

/** An async call that grew too old before it could begin was in the queue for too long. */
function expiredUnrun({ state, outcome }: InvocationRecord) {
  return state === 'expired' && outcome === 'host-fault' ? 'MAYFLY_ERR_GATEWAY_QUEUE_TIMEOUT' : undefined;
}

function envelopeAnswer(record: InvocationRecord, body: Uint8Array | undefined): Answer {
  const envelope = {
    result: resultValue(record, body),
    invocationId: record.invocationId,
    function: record.function,
    version: record.version,
    ...(record.alias !== undefined && { alias: record.alias }),
    timings: record.timings,
    usage: record.usage,
  };
  return { status: 200, headers: { 'content-type': JSON_TYPE }, body: JSON.stringify(envelope) };
}

function rawAnswer(record: InvocationRecord, body: Uint8Array | undefined, contentType: string): Answer {
  return {
    status: 200,
    headers: { 'content-type': contentType, ...GUEST_BYTES_HEADERS },
    body: rawBytes(record, body),
  };
}

function resultValue(record: InvocationRecord, body: Uint8Array | undefined): JsonValue {
  const { result } = record;
  if (result?.kind === 'inline') return result.value;
  if (record.returns === 'string') return { type: 'string', value: buffer(body).toString('utf8') };
  if (record.returns === 'bytes') return { type: 'bytes', value: buffer(body).toString('base64') };
  return { type: 'void' };
}

function rawBytes(record: InvocationRecord, body: Uint8Array | undefined): Buffer {
  const { result } = record;
  if (result?.kind !== 'inline') return buffer(body);
  const text = String(result.value.value ?? '');
  return Buffer.from(text, result.value.type === 'bytes' ? 'base64' : 'utf8');
}

function buffer(body: Uint8Array | undefined): Buffer {
  return body === undefined ? Buffer.alloc(0) : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}

/** Durations in milliseconds, as the header wants them. */
function serverTiming(timings: Timings): string {
  const { queueUs, acquireUs, restoreUs, runUs, resultUs, totalUs } = timings;
  return (
    `queue;dur=${queueUs / 1000}, acquire;dur=${acquireUs / 1000}, restore;dur=${restoreUs / 1000}, ` +
    `run;dur=${runUs / 1000}, result;dur=${resultUs / 1000}, total;dur=${totalUs / 1000}`
  );
}

/** The receipt as a dictionary of structured fields (RFC 9651), for answers whose body is the guest's. */
function usageText({ cpuUs = 0, exits, hostCalls, dirtyPages, source }: Usage): string {
  return `cpu-us=${cpuUs}, exits=${exits}, host-calls=${hostCalls}, dirty-pages=${dirtyPages}, source=${source}`;
}
