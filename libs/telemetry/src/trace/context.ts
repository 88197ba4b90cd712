import { randomFillSync } from 'node:crypto';

/** What a trace knows of itself where it crosses to another process (W3C Trace Context). */
export interface TraceContext {
  /** 32 hex digits, not all 0. */
  readonly traceId: string;
  /** 16 hex digits, not all 0: the span that the next one is a child of. */
  readonly spanId: string;
  readonly sampled: boolean;
  /** The `tracestate` header as it came. */
  readonly traceState?: string;
}

const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const TRACESTATE = /^[\x20-\x7e]{1,512}$/;
const NO_TRACE = '0'.repeat(32);
const NO_SPAN = '0'.repeat(16);
const SAMPLED = 1;

/**
 * Reads `traceparent` and `tracestate`. Undefined for what is none, as the specification wants it: a malformed header
 * must not fail its request.
 */
export function parseTraceContext(traceparent: unknown, tracestate?: unknown): TraceContext | undefined {
  if (typeof traceparent !== 'string') return undefined;
  const [, version, traceId = '', spanId = '', flags = '', more] = TRACEPARENT.exec(traceparent) ?? [];
  if (version === undefined || (version === '00' && more !== undefined)) return undefined;
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined;
  const sampled = (Number.parseInt(flags, 16) & SAMPLED) === SAMPLED;
  const hasState = typeof tracestate === 'string' && TRACESTATE.test(tracestate);
  return { traceId, spanId, sampled, ...(hasState && { traceState: tracestate }) };
}

export function formatTraceparent({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`;
}

const POOL_BYTES = 4096;
const pool = Buffer.alloc(POOL_BYTES);
let used = POOL_BYTES;

/** 16 random bytes as hex. */
export function newTraceId(): string {
  return randomHex(16);
}

/** 8 random bytes as hex. */
export function newSpanId(): string {
  return randomHex(8);
}

/** From a pool: one system call serves some hundred ids. */
function randomHex(lengthBytes: number): string {
  if (used + lengthBytes > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const hex = pool.toString('hex', used, used + lengthBytes);
  used += lengthBytes;
  return hex;
}
