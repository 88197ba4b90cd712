import { isFunctionName, isTenantName, type ReadinessReport } from '@mayfly/contracts';

/** Of a guest's text, which a worker passes on, that is kept. */
const MESSAGE_LENGTH = 500;

/** What a worker says of a version; undefined for text that is none. */
export function parseReport(text: string): ReadinessReport | undefined {
  let fields: Partial<Record<keyof ReadinessReport, unknown>> | null;
  try {
    fields = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { tenant, name, version, workerId, state, atMs, message, warmId, tookMs } = fields ?? {};
  if (typeof tenant !== 'string' || !isTenantName(tenant)) return undefined;
  if (typeof name !== 'string' || !isFunctionName(name)) return undefined;
  if (!isCount(version) || !isCount(atMs) || typeof workerId !== 'string') return undefined;
  if (state !== 'ready' && state !== 'failed' && state !== 'unavailable') return undefined;
  return {
    ...{ tenant, name, version, workerId, state, atMs },
    ...(typeof message === 'string' && { message: message.slice(0, MESSAGE_LENGTH) }),
    ...(typeof warmId === 'string' && { warmId }),
    ...(isCount(tookMs) && { tookMs }),
  };
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
