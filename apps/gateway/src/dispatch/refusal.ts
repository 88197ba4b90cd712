import type { MayflyError, TenantQuotas } from '@mayfly/contracts';
import type { Admission, Refusal } from '@mayfly/queue';
import { gatewayError } from '../errors.js';

const MAX_RETRY_AFTER_S = 3_600;
/** Limits that are the platform's; the others are the tenant's. */
const PLATFORM_LIMITS: ReadonlySet<Refusal['limit']> = new Set(['maxQueueDepth', 'startWithinMs']);

type Rate = Pick<TenantQuotas, 'ratePerS' | 'burst'>;

/** What an answer says of the tenant's rate (draft-ietf-httpapi-ratelimit-headers). */
export function rateLimitHeaders(admission: Admission, { ratePerS, burst }: Rate): Record<string, string> {
  const windowS = Math.max(1, Math.ceil(ratePerS > 0 ? burst / ratePerS : MAX_RETRY_AFTER_S));
  return {
    'ratelimit-policy': `"inv";q=${burst};w=${windowS}`,
    ratelimit: `"inv";r=${admission.remaining};t=${Math.ceil(admission.fullInMs / 1000)}`,
  };
}

/** Why a call did not come in: 429 for a limit of its tenant, 503 for one of the platform. */
export function refusalError(admission: Admission, rate: Rate): MayflyError {
  const { limit, value, current, retryAfterMs } = admission.refusal ?? UNKNOWN;
  const isPlatform = PLATFORM_LIMITS.has(limit);
  return gatewayError(
    isPlatform ? 'MAYFLY_ERR_GATEWAY_SATURATED' : 'MAYFLY_ERR_GATEWAY_TENANT_BUSY',
    `the limit ${limit} is ${value}, and ${current} is in use`,
    {
      details: {
        retryAfterS: Math.min(MAX_RETRY_AFTER_S, Math.max(1, Math.ceil(retryAfterMs / 1000))),
        limit: { name: limit, value, current },
        headers: rateLimitHeaders(admission, rate),
      },
    },
  );
}

const UNKNOWN: Refusal = { limit: 'maxQueueDepth', value: 0, current: 0, retryAfterMs: 1_000 };
