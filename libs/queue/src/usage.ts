import type { Redis } from 'ioredis';

const DAY_MS = 24 * 3_600_000;
/** Most days that one question may span. */
export const MOST_USAGE_DAYS = 400;

/** What the ended calls of one function took on one day (UTC, by the end of each call). */
export interface UsageOfDay {
  /** `YYYY-MM-DD` */
  readonly day: string;
  readonly function: string;
  readonly invocations: number;
  /** Of them, those with another outcome than `succeeded`. */
  readonly failed: number;
  readonly cpuUs: number;
  /** Guest memory times run time, MiB·µs; `gibSeconds` makes the usual unit of it. */
  readonly memoryMibUs: number;
  readonly inputBytes: number;
  readonly outputBytes: number;
}

export const gibSeconds = (memoryMibUs: number): number => memoryMibUs / (1024 * 1_000_000);

/** The day of a moment, `YYYY-MM-DD` in UTC. */
export function dayOf(epochMs: number): string {
  const day = Math.floor(epochMs / DAY_MS);
  if (day !== lastDay) {
    lastDay = day;
    lastText = new Date(day * DAY_MS).toISOString().slice(0, 10);
  }
  return lastText;
}
let lastDay = Number.NaN;
let lastText = '';

export const usageKey = (tenant: string, day: string): string => `mf:s:use:${tenant}:${day}`;

/**
 * Usage by day and function, days that had none left out.
 * @param fromMs, untilMs epoch milliseconds, whole days both; of a longer span the last `MOST_USAGE_DAYS` days
 */
export async function usageOf(
  redis: Pick<Redis, 'hgetall'>,
  tenant: string,
  span: { readonly fromMs: number; readonly untilMs: number },
): Promise<UsageOfDay[]> {
  const until = Math.floor(span.untilMs / DAY_MS);
  const from = Math.max(Math.floor(span.fromMs / DAY_MS), until - MOST_USAGE_DAYS + 1);
  const days: string[] = [];
  for (let day = from; day <= until; day += 1) days.push(dayOf(day * DAY_MS));
  const found = await Promise.all(days.map((day) => redis.hgetall(usageKey(tenant, day))));
  return found.flatMap((functions, index) =>
    Object.entries(functions)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, counts]) => parseUsage(days[index] ?? '', name, counts)),
  );
}

function parseUsage(day: string, name: string, counts: string): UsageOfDay {
  const [invocations = 0, failed = 0, cpuUs = 0, memoryMibUs = 0, inputBytes = 0, outputBytes = 0] = counts
    .split(' ')
    .map(Number);
  return { day, function: name, invocations, failed, cpuUs, memoryMibUs, inputBytes, outputBytes };
}
