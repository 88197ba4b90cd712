import type {
  AcceptedRecord,
  AliasRef,
  FunctionRef,
  FunctionSettings,
  InvocationInput,
  InvocationItem,
  RetrySettings,
  ReturnType,
} from '@mayfly/contracts';
import type { CallTrace } from '../telemetry/request-trace.js';

/** How a result is answered: as envelope, or as raw body of a media type. */
export type AnswerShape = { readonly raw: false } | { readonly raw: true; readonly contentType: string };

/** Environment values, and secrets by the version that holds as the call is accepted. */
export type GivenToGuest = Pick<InvocationItem, 'env' | 'secrets'>;

/** One validated invocation, ready to be queued. */
export interface Call {
  /** Absent: it gets one when it is queued. */
  readonly invocationId?: string;
  readonly ref: FunctionRef;
  /** That chose the version; absent: none did. */
  readonly alias?: AliasRef | undefined;
  readonly entrypoint: string;
  readonly input: InvocationInput;
  /** About what the input takes in the job. */
  readonly inputBytes: number;
  readonly returns: ReturnType;
  readonly timeoutMs: number;
  readonly shape: AnswerShape;
  /** Of which ends the function keeps result and log. Absent: of all. */
  readonly storeResult?: InvocationItem['storeResult'];
  /** What the function's settings give the guest. */
  readonly given?: GivenToGuest | undefined;
  /** Where the end of a call that outlives its connection is told. */
  readonly callback?: { readonly url: string } | undefined;
  /** How it is tried again, when it is async. */
  readonly retry?: RetrySettings | undefined;
  readonly trace?: CallTrace | undefined;
}

/** What a job says of the setting: nothing where all is kept. */
export function storeResultOf({
  storeResult,
}: Pick<FunctionSettings, 'storeResult'>): Pick<Call, 'storeResult'> {
  return storeResult === 'always' ? {} : { storeResult };
}

export function acceptedRecord(call: Call, invocationId: string, acceptedAtMs: number): AcceptedRecord {
  return {
    v: 1,
    invocationId,
    tenant: call.ref.tenant,
    function: call.ref.name,
    version: call.ref.version,
    ...(call.alias && { alias: call.alias.name }),
    entrypoint: call.entrypoint,
    returns: call.returns,
    ...call.shape,
    acceptedAtMs,
    ...(call.trace && { traceId: call.trace.traceId }),
    ...(call.callback && { callback: call.callback }),
  };
}

/** The shape that an accepted record asks for; calls without one are envelopes. */
export function shapeOf(accepted: AcceptedRecord | undefined): AnswerShape {
  return accepted?.raw === true
    ? { raw: true, contentType: accepted.contentType ?? 'application/octet-stream' }
    : { raw: false };
}
