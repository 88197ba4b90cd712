/** Values of attributes. */
export type AttributeValue = string | number | boolean | readonly string[];
export type Attributes = Readonly<Record<string, AttributeValue>>;

export type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer';

/** Who reports: one object per service or function version, since exporters group by identity. */
export interface ResourceData {
  readonly attributes: Attributes;
}

export interface SpanLink {
  readonly traceId: string;
  readonly spanId: string;
}

export interface SpanEventData {
  readonly name: string;
  readonly timeUnixNs: bigint;
  readonly attributes: Attributes;
}

/** A span that has ended. Spans are made after the fact from what a call left behind, so that most are never made. */
export interface SpanData {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  /** Whether the parent belongs to another process. */
  readonly isParentRemote?: boolean;
  readonly traceState?: string;
  readonly name: string;
  readonly kind: SpanKind;
  readonly startUnixNs: bigint;
  readonly endUnixNs: bigint;
  readonly attributes: Attributes;
  readonly events?: readonly SpanEventData[];
  readonly links?: readonly SpanLink[];
  /** Set when it failed; the text says why. */
  readonly error?: string;
  /** Absent: the process's own. */
  readonly resource?: ResourceData;
  /** Told by a guest, not seen by the host. */
  readonly isFromGuest?: boolean;
  readonly droppedAttributes?: number;
  readonly droppedEvents?: number;
}
