/**
 * Adds one entry to the audit log and, in the same step, makes the change that it tells of: neither is ever there
 * without the other.
 *
 * KEYS audit, tenants, API keys, changes, revision.
 * ARGV hash that the log must end with, text, hash, channel; then for each write: `t` or `k`, field, the text that must
 * stand there (empty: none), the new text (empty: none).
 * @returns {'ok'}; {'head', text, hash} when the log ends otherwise; {'stale', field} when another text stands there.
 */
export const APPEND = `
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local fields = last and last[2]
if (fields and fields[4] or '${'0'.repeat(64)}') ~= ARGV[1] then
  return {'head', fields and fields[2] or '', fields and fields[4] or ''}
end
for i = 5, #ARGV, 4 do
  local key = ARGV[i] == 't' and KEYS[2] or KEYS[3]
  if (redis.call('HGET', key, ARGV[i + 1]) or '') ~= ARGV[i + 2] then return {'stale', ARGV[i + 1]} end
end
redis.call('XADD', KEYS[1], '*', 'e', ARGV[2], 'h', ARGV[3])
if #ARGV < 5 then return {'ok'} end
local revision = redis.call('INCR', KEYS[5])
for i = 5, #ARGV, 4 do
  local key = ARGV[i] == 't' and KEYS[2] or KEYS[3]
  if ARGV[i + 3] == '' then redis.call('HDEL', key, ARGV[i + 1])
  else redis.call('HSET', key, ARGV[i + 1], ARGV[i + 3]) end
  redis.call('ZADD', KEYS[4], revision, ARGV[i] .. ':' .. ARGV[i + 1])
end
redis.call('PUBLISH', ARGV[4], tostring(revision))
return {'ok'}`;
