/** Lua: versions of the function, and the bytes of their artifacts; `put` keeps the latter in KEYS[3]. */
const STORED = `
local function stored()
  local count, bytes = 0, 0
  local fields = redis.call('HGETALL', KEYS[1])
  for i = 1, #fields, 2 do
    if string.match(fields[i], '^v%d') then
      count = count + 1
      bytes = bytes + (cjson.decode(fields[i + 1]).artifactBytes or 0)
    end
  end
  return count, bytes
end
local function put(name, bytes)
  if bytes == 0 then redis.call('HDEL', KEYS[3], name) else redis.call('HSET', KEYS[3], name, bytes) end
end`;

/** What a tenant may store, in the order in which `ADD_VERSION` looks at it. */
export const STORAGE_LIMITS = ['maxFunctions', 'maxVersions', 'maxStoredBytes'] as const;

/**
 * KEYS function, names, stored bytes by function. ARGV fingerprint, version JSON, name, readiness JSON, bytes of the
 * artifact, then the three limits. What is there already is found whatever the limits are.
 * @returns {number, 1 if new}, or {0, which limit, what it would come to}.
 */
export const ADD_VERSION = `
${STORED}
local same = redis.call('HGET', KEYS[1], 's:' .. ARGV[1])
if same and redis.call('HEXISTS', KEYS[1], 'v' .. same) == 1 then return {tonumber(same), 0} end
local count, bytes = stored()
if count == 0 and redis.call('SISMEMBER', KEYS[2], ARGV[3]) == 0 then
  local functions = redis.call('SCARD', KEYS[2]) + 1
  if functions > tonumber(ARGV[6]) then return {0, 1, functions} end
end
if count + 1 > tonumber(ARGV[7]) then return {0, 2, count + 1} end
bytes = bytes + tonumber(ARGV[5])
local total = bytes - tonumber(redis.call('HGET', KEYS[3], ARGV[3]) or 0)
for _, each in ipairs(redis.call('HVALS', KEYS[3])) do total = total + tonumber(each) end
if total > tonumber(ARGV[8]) then return {0, 3, total} end
put(ARGV[3], bytes)
local n = redis.call('HINCRBY', KEYS[1], 'next', 1)
redis.call('HSET', KEYS[1], 'v' .. n, ARGV[2], 's:' .. ARGV[1], n, 'r' .. n, ARGV[4])
redis.call('SADD', KEYS[2], ARGV[3])
return {n, 1}`;

/**
 * KEYS function, names, stored bytes by function. ARGV name, '1' to delete what aliases use, then for each version its number and fingerprint.
 * The name, the settings and the aliases go with the last version; `next` and `rev` stay, so that a number never means
 * two things. @returns {how many versions were deleted, then names of the aliases that kept them}.
 */
export const DELETE_VERSIONS = `
${STORED}
local users = {}
local fields = redis.call('HGETALL', KEYS[1])
if ARGV[2] ~= '1' then
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'a:' then
      local weights = cjson.decode(fields[i + 1]).weights
      for j = 3, #ARGV, 2 do
        if (weights[ARGV[j]] or 0) > 0 then
          users[#users + 1] = string.sub(fields[i], 3)
          break
        end
      end
    end
  end
end
if #users > 0 then return {0, unpack(users)} end
local deleted = 0
for j = 3, #ARGV, 2 do
  deleted = deleted + redis.call('HDEL', KEYS[1], 'v' .. ARGV[j])
  redis.call('HDEL', KEYS[1], 's:' .. ARGV[j + 1], 'r' .. ARGV[j])
end
local _, bytes = stored()
put(ARGV[1], bytes)
local rest = {}
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.match(field, '^v%d') then return {deleted} end
  if field ~= 'next' and field ~= 'rev' then rest[#rest + 1] = field end
end
for _, field in ipairs(rest) do redis.call('HDEL', KEYS[1], field) end
redis.call('SREM', KEYS[2], ARGV[1])
return {deleted}`;

/** What `WRITE` and `DELETE_ALIAS` answer instead of a revision. */
export const REFUSALS = { noFunction: -1, failed: -2, required: -3, noVersion: -4, tooMany: -5 } as const;

/** Lua: ends the script unless the precondition holds for revision `had`; false where nothing is there. */
const CHECK = `
local function refused(had, wanted)
  if wanted == 'always' then return nil end
  if wanted == 'any' then
    if not had then return {-2, 0} end
  elseif wanted == 'absent' then
    if had then return {-2, tonumber(had)} end
  elseif wanted == 'unstated' then
    if had then return {-3, tonumber(had)} end
  else
    for tag in string.gmatch(wanted, '%d+') do
      if (had or '0') == tag then return nil end
    end
    return {-2, tonumber(had or 0)}
  end
  return nil
end`;

/**
 * KEYS function, names. ARGV name, field, field of its revision, precondition or `always`, JSON, most fields of this kind ('0': no
 * limit), then the versions that must be there. @returns {revision} or {refusal, fact}.
 */
export const WRITE = `${CHECK}
if redis.call('SISMEMBER', KEYS[2], ARGV[1]) == 0 then return {-1, 0} end
local had = redis.call('HGET', KEYS[1], ARGV[3])
local no = refused(had, ARGV[4])
if no then return no end
for i = 7, #ARGV do
  if redis.call('HEXISTS', KEYS[1], 'v' .. ARGV[i]) == 0 then return {-4, tonumber(ARGV[i])} end
end
local most = tonumber(ARGV[6])
if most > 0 and not had then
  local count = 0
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, 2) == 'a:' then count = count + 1 end
  end
  if count >= most then return {-5, count} end
end
local rev = redis.call('HINCRBY', KEYS[1], 'rev', 1)
redis.call('HSET', KEYS[1], ARGV[2], ARGV[5], ARGV[3], rev)
return {rev}`;

/** KEYS function, names. ARGV field, field of its revision, precondition. @returns {1} deleted, {0} or a refusal. */
export const DELETE_ALIAS = `${CHECK}
local had = redis.call('HGET', KEYS[1], ARGV[2])
if not had then return {0} end
local no = refused(had, ARGV[3])
if no then return no end
redis.call('HDEL', KEYS[1], ARGV[1], ARGV[2])
return {1}`;

/**
 * KEYS function, unprepared versions. ARGV version, its field there, state, readiness JSON. A version that has been
 * ready stays it; another host's failure says nothing of it. @returns 1 if something changed.
 */
export const REPORT = `
redis.call('HDEL', KEYS[2], ARGV[2])
if redis.call('HEXISTS', KEYS[1], 'v' .. ARGV[1]) == 0 then return 0 end
local known = redis.call('HGET', KEYS[1], 'r' .. ARGV[1])
if not known then return 0 end
local state = cjson.decode(known).state
if state == 'ready' or state == ARGV[3] then return 0 end
redis.call('HSET', KEYS[1], 'r' .. ARGV[1], ARGV[4])
return 1`;
