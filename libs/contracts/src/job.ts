import type { AliasRef } from './alias.js';
import type { RetrySettings } from './function-settings.js';
import type { KvmKind } from './host.js';
import type { Manifest } from './manifest.js';
import type { JsonValue, ReturnType } from './values.js';

export const JOB_VERSION = 1;
/** Of a job that one kind of KVM may run: a worker that does not know the rule refuses it by its version. */
export const PLACED_JOB_VERSION = 2;

/** The version a job runs: all that a worker must know of it, so that it reads no registry. */
export interface FunctionRef {
  readonly tenant: string;
  readonly name: string;
  readonly version: number;
  /** sha-256 of the artifact, lower-case hex: its key in the blob store within the tenant. */
  readonly artifactSha256: string;
  readonly artifactBytes: number;
  readonly memory: Manifest['memory'];
  /** The kind of KVM that the tenant's policy requires; absent: any. No other may even initialise the version. */
  readonly requiresKvm?: KvmKind;
}

/**
 * What the guest gets: typed arguments, or a raw body that becomes the one argument of the entrypoint.
 * `blob` refers to bytes that are too large for a job; they are JSON of `JsonValue[]` or the raw body.
 */
export type InvocationInput =
  | { readonly kind: 'args'; readonly args: readonly JsonValue[] }
  | { readonly kind: 'body'; readonly as: 'bytes' | 'string'; readonly base64: string }
  | {
      readonly kind: 'blob';
      readonly of: 'args' | 'bytes' | 'string';
      readonly sha256: string;
      readonly lengthBytes: number;
    };

export interface InvocationItem {
  readonly invocationId: string;
  readonly entrypoint: string;
  readonly input: InvocationInput;
  readonly returns: ReturnType;
  /** Guest time, from VM entry; the queue does not count. */
  readonly timeoutMs: number;
  /** Epoch milliseconds, with a fraction: the time in the queue is often less than one. */
  readonly acceptedAtMs: number;
  /**
   * Epoch milliseconds from which nobody waits for the answer and the gateway has put its own end on record: a worker
   * that has not started the call by then skips it and writes nothing. Absent: the call never expires.
   */
  readonly expiresAtMs?: number;
  /** 32 hex digits that the gateway minted for this invocation; absent when nobody waits. */
  readonly replyToken?: string;
  /** W3C trace context of the span that queued the call; absent when nobody traces it. What is none is ignored. */
  readonly traceparent?: string;
  readonly tracestate?: string;
  /** Which attempt of the invocation this is, from 1. Absent: the first. */
  readonly attempt?: number;
  /** How an async call is tried again. Absent: as `DEFAULT_SETTINGS` say. */
  readonly retry?: RetrySettings;
  /** Secrets that the guest may read, by name, each at the version that held when the call was accepted. */
  readonly secrets?: Readonly<Record<string, number>>;
  /** What stays on record of the result and the log (`FunctionSettings.storeResult`). Absent: all. */
  readonly storeResult?: 'on-failure' | 'never';
  /** Shown to the guest; not secret. */
  readonly env?: Readonly<Record<string, string>>;
  /** The alias that the caller named. Absent: none. */
  readonly alias?: AliasRef;
}

/** Where a waiting gateway can be reached; the reply never travels through BullMQ. */
export interface ReplyAddress {
  readonly gatewayId: string;
  /** Path of the gateway's unix socket; absent when it has none, then Redis carries the reply. */
  readonly socketPath?: string;
}

/** Data of one BullMQ job: one to `LIMITS.invocationsPerJob` calls of one function version. */
export interface InvocationJob {
  /** As `jobVersionOf` says. */
  readonly v: typeof JOB_VERSION | typeof PLACED_JOB_VERSION;
  readonly function: FunctionRef;
  readonly items: readonly InvocationItem[];
  readonly reply?: ReplyAddress;
}

export function jobVersionOf(ref: FunctionRef): InvocationJob['v'] {
  return ref.requiresKvm === undefined ? JOB_VERSION : PLACED_JOB_VERSION;
}
