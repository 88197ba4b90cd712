/**
 * What a guest told of its own work during one call (guest-abi 11), on the host's clock and within the host's caps.
 * Names, targets and fields are the guest's words: show them, never trust them.
 */
export interface GuestTrace {
  /** The guest's first entry of this call, nanoseconds since 1970. All times below count from it. */
  readonly enteredUnixNs: bigint;
  /** In the order in which they began; at most `TRACE_LIMITS.spans`. */
  readonly spans: readonly GuestSpan[];
  /** In the order in which the guest sent them; at most `TRACE_LIMITS.events`. */
  readonly events: readonly GuestEvent[];
  /** Host functions that the guest called, `HostPrint` included; at most `TRACE_LIMITS.hostCalls`. */
  readonly hostCalls: readonly GuestHostCall[];
  /** What is not in here, for its size, its number or its form. */
  readonly dropped: GuestTraceDropped;
}

export interface GuestSpan {
  readonly name: string;
  /** Module of the guest; may be empty. */
  readonly target: string;
  /** Index in `spans` of the enclosing span, always below this one's own. Absent: the call itself. */
  readonly parent?: number;
  /** Nanoseconds since `enteredUnixNs`, within the time of the call. */
  readonly startNs: number;
  /** Not before `startNs`. */
  readonly endNs: number;
  /** Whether the guest closed it; else it ends with the call. */
  readonly closed: boolean;
  readonly fields: readonly GuestField[];
}

export interface GuestEvent {
  readonly name: string;
  /** Index in `spans` of the span in which it happened. Absent: the call itself. */
  readonly parent?: number;
  /** Nanoseconds since `enteredUnixNs`, within the time of the call. */
  readonly timeNs: number;
  readonly fields: readonly GuestField[];
}

export interface GuestHostCall {
  /** As the guest named it; unknown names, too. */
  readonly name: string;
  /** Index in `spans` of the innermost span that was open. Absent: the call itself. */
  readonly parent?: number;
  /** Exit of the guest → its answer is ready; nanoseconds since `enteredUnixNs`. */
  readonly startNs: number;
  readonly endNs: number;
  /** Whether the host function gave a value; else the guest got an error, or the call was cut. */
  readonly ok: boolean;
}

/** Name and text. A list, and no object: names are the guest's. */
export type GuestField = readonly [name: string, value: string];

export interface GuestTraceDropped {
  /** Batches that were malformed, outside of guest memory, too large, or one too many. */
  readonly batches: number;
  /** Beyond the cap, or opened twice. */
  readonly spans: number;
  readonly events: number;
  readonly hostCalls: number;
  /** Fields beyond the cap of their span or event, or of the call's text. */
  readonly fields: number;
}

/** What one call may bring. Texts beyond their length are cut; everything else is dropped and counted. */
export const TRACE_LIMITS = {
  /** One batch on the wire. The reference sends up to 30 events in one. */
  batchBytes: 64 * 1024,
  batches: 1024,
  spans: 1000,
  events: 2000,
  hostCalls: 1000,
  /** Of one span or event. */
  fields: 32,
  /** UTF-16 units of a name or a target. */
  nameLength: 128,
  /** UTF-16 units of the value of a field. */
  valueLength: 1024,
  /** UTF-16 units of all texts together. */
  textLength: 256 * 1024,
} as const;
