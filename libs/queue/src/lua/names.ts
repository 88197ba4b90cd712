import { QUEUE_PREFIX } from '@mayfly/contracts';

export const gateKey = (tenant: string): string => `${QUEUE_PREFIX}:gate:${tenant}`;
export const WINDOW_KEY = `${QUEUE_PREFIX}:window`;

export const LEASES_KEY = `${QUEUE_PREFIX}:leases`;
export const heldKey = (tenant: string): string => `${QUEUE_PREFIX}:held:${tenant}`;

/**
 * Keys of the gate, for every script. A class is `s` (sync) or `a` (async).
 *
 * gate:{tenant}  hash. Settings: weight, max (running calls), paused, c:{fn} (cap), kept (JSON: running calls kept free,
 *                by function). State: tok, at (token bucket), inf (sync calls in flight), run (running calls), r:{fn},
 *                qn, qb (calls in the backlog and their bytes), d:{class} (deficit), ring:{class} ('1' on the ring)
 * window         hash: size (jobs of one class released at once), run:{class}, queued:{class} (calls), turn:{class}
 *                (whose turn it is), ended, since, perS (calls that end a second)
 * ring:{class}   list of the tenants with a backlog that may run, whose turn it is first
 * fns:{class}:{tenant}        list of that tenant's functions with a backlog
 * wait:{class}:{tenant}:{fn}  list of packed jobs, oldest first
 * held:{tenant}  set of async invocations that wait here, in a backlog or for their next attempt
 * leases         sorted set by expiry, one member a call: `{kind}{class} {tenant} {fn} {invocation}`; kind 1: released
 *                and first of its job, 0: released, q: a sync call in a backlog. Counts are exact with it by
 *                construction: whatever removes a member lowers the counts in the same script.
 */
export const NAMES = `
local call = redis.call
local LEASES = '${LEASES_KEY}'
local WINDOW = '${WINDOW_KEY}'
local LATER = 'mf:s:later'
local function gateKey(tenant) return '${gateKey('')}' .. tenant end
local function ringKey(class) return '${QUEUE_PREFIX}:ring:' .. class end
local function functionsKey(class, tenant) return '${QUEUE_PREFIX}:fns:' .. class .. ':' .. tenant end
local function waitKey(class, tenant, fn) return '${QUEUE_PREFIX}:wait:' .. class .. ':' .. tenant .. ':' .. fn end
local function heldKey(tenant) return '${heldKey('')}' .. tenant end
local function endKey(tenant, inv) return 'mf:s:end:' .. tenant .. ':' .. inv end
local function endedChannel(tenant, inv) return 'mf:s:ended:' .. tenant .. ':' .. inv end
local function indexKey(tenant) return 'mf:s:idx:' .. tenant end
local function nowMs()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function whole(n) return string.format('%.0f', n) end
`;
