const S = 1_000;
const MIN = 60 * S;
const HOUR = 60 * MIN;

/** The longest wait before each further attempt; eight attempts in all, over at most eight hours. */
export const RETRY_WAITS_MS: readonly number[] = [
  5 * S,
  30 * S,
  2 * MIN,
  10 * MIN,
  30 * MIN,
  2 * HOUR,
  5 * HOUR,
];

/**
 * The wait after an attempt: drawn evenly from nothing to the schedule's ("full jitter"), and no less than the receiver
 * asks for, within the schedule's. @returns undefined after the last attempt
 */
export function waitAfter(
  attempt: number,
  waitsMs: readonly number[],
  retryAfter: string | undefined,
): number | undefined {
  const longest = waitsMs[attempt - 1];
  if (longest === undefined) return undefined;
  const askedMs = /^\d{1,6}$/.test(retryAfter ?? '') ? Number(retryAfter) * 1_000 : 0;
  return Math.max(Math.min(askedMs, longest), Math.floor(Math.random() * longest));
}
