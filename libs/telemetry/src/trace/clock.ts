import { performance } from 'node:perf_hooks';

/** Beyond this the wall clock was set, or has drifted away from the monotonic one. */
const STEP_MS = 2;
const NS_PER_MS = 1e6;

let offsetMs = performance.timeOrigin;

/**
 * Epoch milliseconds to the microsecond: spans need it, and two processes of one host agree on it. Follows the wall
 * clock when that is set.
 */
export function preciseNowMs(): number {
  return Math.round(toEpochMs(performance.now()) * 1000) / 1000;
}

/** A moment of `performance.now()` in epoch milliseconds. */
export function toEpochMs(monotonicMs: number): number {
  const nowMs = performance.now();
  const wallMs = Date.now();
  // The wall clock's milliseconds are cut off, not rounded.
  const aheadMs = offsetMs + nowMs - wallMs;
  if (aheadMs < -STEP_MS || aheadMs > 1 + STEP_MS) offsetMs = wallMs - nowMs;
  return offsetMs + monotonicMs;
}

/** Nanoseconds since 1970. */
export function unixNs(epochMs: number): bigint {
  const wholeMs = Math.floor(epochMs);
  return BigInt(wholeMs) * 1_000_000n + BigInt(Math.round((epochMs - wholeMs) * NS_PER_MS));
}
