/**
 * Keys of completion callbacks: `mf:s:cb`, sorted set of tenants by when their next callback is due; `mf:s:cb:due:{tenant}`,
 * sorted set of their invocations by when each is due; `mf:s:cb:of:{tenant}:{invocation}`, hash: what became of it.
 */
const CALLBACKS = `
local CALLBACKS = 'mf:s:cb'
local function dueKey(tenant) return 'mf:s:cb:due:' .. tenant end
local function callbackKey(tenant, inv) return 'mf:s:cb:of:' .. tenant .. ':' .. inv end
`;

/** For SETTLE: a call that ended is called back now, if somebody expects that. `nowMs` and `whole` are in its scope. */
export const CALL_BACK_NOW = `${CALLBACKS}
local function callBackNow(tenant, inv)
  local due = dueKey(tenant)
  if not call('ZSCORE', due, inv) then return end
  local now = whole(nowMs())
  call('ZADD', due, 'XX', 'LT', now, inv)
  call('ZADD', CALLBACKS, 'LT', now, tenant)
end
`;

/** ARGV: tenant, invocation, ms until somebody looks whether it has ended without having said so. */
export const EXPECT_CALLBACK = (names: string): string => `${names}${CALLBACKS}
local due = whole(nowMs() + tonumber(ARGV[3]))
call('ZADD', dueKey(ARGV[1]), due, ARGV[2])
call('ZADD', CALLBACKS, 'LT', due, ARGV[1])
return 0
`;

/**
 * Callbacks that are due, of calls that have ended: each is leased, and its attempt counted before it is made. One whose
 * call has not ended is looked at again later; one whose call is forgotten goes.
 * ARGV: lease ms, look again ms, most in all, most of a tenant, life of the state ms, then tenants to leave out.
 * Answers tenant, invocation, lease (until when, its name for the finish), number of the attempt of each.
 */
export const CLAIM_CALLBACKS = (names: string): string => `${names}${CALLBACKS}
local now = nowMs()
local skip = {}
for i = 6, #ARGV do skip[ARGV[i]] = true end
local found = {}
local left = tonumber(ARGV[3])
for _, tenant in ipairs(call('ZRANGEBYSCORE', CALLBACKS, '-inf', whole(now), 'LIMIT', 0, 200)) do
  if left <= 0 then break end
  if not skip[tenant] then
    local due = dueKey(tenant)
    local most = math.min(left, tonumber(ARGV[4]))
    for _, inv in ipairs(call('ZRANGEBYSCORE', due, '-inf', whole(now), 'LIMIT', 0, most)) do
      if call('EXISTS', endKey(tenant, inv)) == 1 then
        local lease = whole(now + tonumber(ARGV[1]))
        local of = callbackKey(tenant, inv)
        call('ZADD', due, lease, inv)
        local attempt = call('HINCRBY', of, 'attempts', 1)
        call('HSET', of, 'state', 'pending', 'lastAtMs', whole(now))
        call('PEXPIRE', of, ARGV[5])
        for _, field in ipairs({ tenant, inv, lease, attempt }) do found[#found + 1] = field end
        left = left - 1
      elseif call('EXISTS', 'mf:g:inv:' .. tenant .. ':' .. inv) == 1 then
        call('ZADD', due, whole(now + tonumber(ARGV[2])), inv)
      else
        call('ZREM', due, inv)
      end
    end
    local head = call('ZRANGE', due, 0, 0, 'WITHSCORES')
    -- Whoever has more that is due now comes after those who have waited.
    if head[1] then call('ZADD', CALLBACKS, whole(math.max(now, tonumber(head[2]))), tenant)
    else call('ZREM', CALLBACKS, tenant) end
  end
end
return found
`;

/**
 * What became of an attempt. Nothing is written for a lease that has run out: the callback is another's.
 * ARGV: tenant, invocation, lease, state, ms until the next attempt ('' for none), HTTP status, word of the failure.
 */
export const FINISH_CALLBACK = (names: string): string => `${names}${CALLBACKS}
local due = dueKey(ARGV[1])
local score = call('ZSCORE', due, ARGV[2])
if not score or tonumber(score) ~= tonumber(ARGV[3]) then return 0 end
local of = callbackKey(ARGV[1], ARGV[2])
call('HDEL', of, 'lastStatus', 'lastError', 'nextAtMs')
call('HSET', of, 'state', ARGV[4])
if ARGV[6] ~= '' then call('HSET', of, 'lastStatus', ARGV[6]) end
if ARGV[7] ~= '' then call('HSET', of, 'lastError', ARGV[7]) end
if ARGV[5] == '' then
  call('ZREM', due, ARGV[2])
  return 1
end
local next = whole(nowMs() + tonumber(ARGV[5]))
call('HSET', of, 'nextAtMs', next)
call('ZADD', due, next, ARGV[2])
call('ZADD', CALLBACKS, 'LT', next, ARGV[1])
return 1
`;
