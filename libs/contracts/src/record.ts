import type { Outcome } from './outcomes.js';
import type { JsonValue, ReturnType } from './values.js';

/** Durations of one invocation in microseconds; they add up to the total within rounding. */
export interface Timings {
  /** Accepted by the gateway → taken by a worker. */
  readonly queueUs: number;
  /** Taken → a clean sandbox is at hand; a cold start shows here. */
  readonly acquireUs: number;
  readonly restoreUs: number;
  /** The guest's first entry → its end: guest time, and that of host calls with the ways there and back. */
  readonly runUs: number;
  /** Guest ended → result read and decoded. */
  readonly resultUs: number;
  readonly totalUs: number;
}

/** The receipt of an invocation. */
export interface Usage {
  /** Time on the vCPU: from entry to exit, all runs together, without that of host calls. */
  readonly cpuUs: number;
  /** VM exits. */
  readonly exits: number;
  readonly hostCalls: number;
  /** Pages that the restore before the run copied back: what the sandbox's last invocation wrote. */
  readonly dirtyPages: number;
  readonly source: 'warm' | 'snapshot' | 'boot';
  /** The sandbox's guest memory times the run, MiB·µs. Absent: it did not run, or an older worker ran it. */
  readonly memoryMibUs?: number;
  /** Bytes of the input and of the result, as the values that the guest gets and gives. Absent as above. */
  readonly inputBytes?: number;
  readonly outputBytes?: number;
}

/** Why an invocation did not succeed; text that a guest chose is marked by the outcome, never trusted. */
export interface OutcomeDetail {
  readonly message: string;
  /** Guest ABI error or abort code (guest-abi 7.4), and its name. */
  readonly guestCode?: number;
  readonly guestCodeName?: string;
  /** CPU exception: vector name; addresses as 0x-hex. */
  readonly vector?: string;
  readonly rip?: string;
  readonly address?: string;
}

/** Where the result is: inside the record, or a blob of the tenant. `void` has no bytes. */
export type ResultRef =
  | { readonly kind: 'inline'; readonly value: JsonValue }
  | {
      readonly kind: 'blob';
      readonly type: 'string' | 'bytes';
      readonly sha256: string;
      readonly lengthBytes: number;
    };

/** One try at an async invocation. */
export interface Attempt {
  /** From 1. */
  readonly attempt: number;
  readonly workerId: string;
  readonly version: number;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly outcome: Outcome;
  /** Why it did not succeed. */
  readonly detail?: string;
  /** Absent: nobody is left to tell. */
  readonly timings?: Timings;
}

/** What a worker writes once an invocation has ended, and what answers the waiting gateway. */
export interface InvocationRecord {
  readonly v: 1;
  readonly invocationId: string;
  readonly tenant: string;
  readonly function: string;
  readonly version: number;
  /** Name of the alias that chose the version; absent: the caller named none. */
  readonly alias?: string;
  readonly entrypoint: string;
  readonly returns: ReturnType;
  readonly outcome: Outcome;
  readonly detail?: OutcomeDetail;
  readonly result?: ResultRef;
  readonly timings: Timings;
  readonly usage: Usage;
  readonly logTail: string;
  /** The function keeps none: result and log were answered to who waited, if anyone did. */
  readonly resultDropped?: true;
  readonly attempt: number;
  /** All attempts, this one last; absent: there was one. */
  readonly attempts?: readonly Attempt[];
  /** Where the outcome alone does not say what became of it: it was given up, or grew too old first. */
  readonly state?: 'dead_lettered' | 'expired';
  readonly workerId: string;
  readonly acceptedAtMs: number;
  readonly finishedAtMs: number;
  /** Where its spans are, or would be. Absent: neither the client nor this host traces. */
  readonly trace?: TraceRef;
}

export interface TraceRef {
  /** 32 hex digits. */
  readonly id: string;
  /** Whether its spans are exported. */
  readonly sampled: boolean;
}

/** What the gateway writes when it accepts an invocation that outlives its connection. */
export interface AcceptedRecord {
  readonly v: 1;
  readonly invocationId: string;
  readonly tenant: string;
  readonly function: string;
  readonly version: number;
  readonly alias?: string;
  readonly entrypoint: string;
  readonly returns: ReturnType;
  /** Whether the result is answered as raw body (`POST /invoke/{fn}`) or as an envelope. */
  readonly raw: boolean;
  /** Media type of a raw answer; absent for an envelope. */
  readonly contentType?: string;
  readonly acceptedAtMs: number;
  /** The dead letter that it was made from. */
  readonly origin?: string;
  /** Of the request that brought it, where somebody traces that. */
  readonly traceId?: string;
  /** Where its end is told; it may hold a token of the tenant's, and is shown to nobody. */
  readonly callback?: { readonly url: string };
}
