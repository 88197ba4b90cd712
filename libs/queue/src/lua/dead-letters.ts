import { GATE } from './gate.js';

const DEAD_PREFIX = 'mf:s:dead:';
const LETTER_PREFIX = 'mf:s:letter:';
/** Set of `{tenant} {function}` that have dead letters. */
export const DEAD_INDEX = 'mf:s:dead';
/** Sorted set of a function's dead letters by the time of their end. */
export const deadKey = (tenant: string, name: string): string => `${DEAD_PREFIX}${tenant}:${name}`;
/** What is needed to make the call again: JSON of a `DeadCall`. */
export const letterKey = (tenant: string, invocationId: string): string =>
  `${LETTER_PREFIX}${tenant}:${invocationId}`;

/** For the script that puts ends on record. */
export const DEAD = `
local function deadKey(tenant, fn) return '${DEAD_PREFIX}' .. tenant .. ':' .. fn end
local function letterKey(tenant, inv) return '${LETTER_PREFIX}' .. tenant .. ':' .. inv end
local function bury(tenant, fn, inv, letter, at, lifeMs)
  call('SET', letterKey(tenant, inv), letter, 'PX', lifeMs)
  call('ZADD', deadKey(tenant, fn), at, inv)
  call('ZREMRANGEBYSCORE', deadKey(tenant, fn), '-inf', whole(at - lifeMs))
  call('PEXPIRE', deadKey(tenant, fn), lifeMs)
  call('SADD', '${DEAD_INDEX}', tenant .. ' ' .. fn)
end
local function exhume(tenant, fn, inv)
  local was = call('ZREM', deadKey(tenant, fn), inv)
  call('DEL', letterKey(tenant, inv))
  if call('EXISTS', deadKey(tenant, fn)) == 0 then call('SREM', '${DEAD_INDEX}', tenant .. ' ' .. fn) end
  return was
end
`;

/** Forgets dead letters. ARGV: tenant, function, invocations. Answers how many there were. */
export const PURGE_DEAD = `${GATE}${DEAD}
local n = 0
for i = 3, #ARGV do n = n + exhume(ARGV[1], ARGV[2], ARGV[i]) end
return n
`;

/** Arguments before those of the letters, and of each letter. */
export const REDRIVE_HEAD = 3;
export const REDRIVE_FIELDS = 9;

/**
 * Makes new invocations of dead letters, each due at a time of its own: from here on the pump works them off, whoever
 * asked for it. A letter that is no more there was redriven or purged by somebody else, and is left out.
 *
 * ARGV: tenant, function, life of records ms; then dead invocation, new invocation, its accepted record, accepted at ms,
 * ms until it is due, lease ms, head and tail of the job's JSON, item JSON of each. Answers 1 or 0 for each.
 */
export const REDRIVE = `${GATE}${DEAD}
local tenant, fn = ARGV[1], ARGV[2]
local now = nowMs()
local answers = {}
for i = ${REDRIVE_HEAD + 1}, #ARGV, ${REDRIVE_FIELDS} do
  local was = exhume(tenant, fn, ARGV[i])
  answers[#answers + 1] = was
  if was == 1 then
    local inv = ARGV[i + 1]
    call('SET', 'mf:g:inv:' .. tenant .. ':' .. inv, ARGV[i + 2], 'PX', ARGV[3])
    call('ZADD', indexKey(tenant), ARGV[i + 3], inv)
    local job = { id = inv, head = ARGV[i + 6], tail = ARGV[i + 7], lease = tonumber(ARGV[i + 5]), expires = 0,
      invs = { inv }, items = { ARGV[i + 8] } }
    call('ZADD', LATER, whole(now + tonumber(ARGV[i + 4])), cmsgpack.pack({ tenant = tenant, fn = fn, job = job }))
    call('SADD', heldKey(tenant), inv)
  end
end
return answers
`;
