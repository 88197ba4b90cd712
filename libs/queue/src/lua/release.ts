import { ASYNC_QUEUE, QUEUE_PREFIX, SYNC_QUEUE } from '@mayfly/contracts';
import { ASYNC_JOB_OPTIONS, SYNC_JOB_OPTIONS } from '../job-options.js';

/**
 * Puts a job where BullMQ's workers find it: what BullMQ's own script does for a job without parent, delay, priority or
 * deduplication, without the events that nobody reads. A test compares the two key by key, so that another version of
 * BullMQ shows. Idempotent by job id.
 */
export const ENQUEUE = `
local QUEUES = { s = '${QUEUE_PREFIX}:${SYNC_QUEUE}:', a = '${QUEUE_PREFIX}:${ASYNC_QUEUE}:' }
local OPTIONS = { s = '${SYNC_JOB_OPTIONS}', a = '${ASYNC_JOB_OPTIONS}' }
local function enqueue(class, jobId, data, now)
  local queue = QUEUES[class]
  local number = call('INCR', queue .. 'id')
  if jobId == '' then jobId = whole(number)
  elseif call('EXISTS', queue .. jobId) == 1 then return jobId end
  call('HMSET', queue .. jobId, 'name', 'invoke', 'data', data, 'opts', OPTIONS[class],
    'timestamp', whole(now), 'delay', 0, 'priority', 0)
  call('LPUSH', queue .. 'wait', jobId)
  call('ZADD', queue .. 'marker', 0, '0')
  return jobId
end
`;

/**
 * The gate. Each class has a window and a ring of its own, so that sync calls never wait behind an async backlog.
 * Deficit round robin over tenants: a turn adds the tenant's weight to its deficit, each call takes one from it; a pack
 * may overdraw and is paid back. A tenant takes turns among its functions. Who cannot run (paused, at its cap) leaves
 * the ring and comes back with what changes that. A job that does not fit whole goes in parts.
 */
export const RELEASE = `
local MOST_VISITS = 512
local MOST_FUNCTIONS = 32
local function roomFor(gate, g, fn)
  local v = call('HMGET', gate, 'r:' .. fn, 'c:' .. fn)
  local room = g.max - g.run
  g.ran = tonumber(v[1]) or 0
  if v[2] then room = math.min(room, tonumber(v[2]) - g.ran) end
  if g.kept then
    for other, n in pairs(cjson.decode(g.kept)) do
      if other ~= fn then
        room = room - math.max(0, n - (tonumber(call('HGET', gate, 'r:' .. other)) or 0))
      end
    end
  end
  return room
end
local function hold(class, tenant, fn, invs, k, leaseMs, now)
  local expiry = whole(now + leaseMs)
  local call_ = class .. ' ' .. tenant .. ' ' .. fn .. ' '
  local leases = {}
  for i = 1, k do
    leases[#leases + 1] = expiry
    leases[#leases + 1] = (i == 1 and '1' or '0') .. call_ .. invs[i]
  end
  call('ZADD', LEASES, unpack(leases))
end
local function part(list, from, to)
  local taken = {}
  for i = from, to do taken[#taken + 1] = list[i] end
  return taken
end
local function bytesOf(items)
  local bytes = 0
  for _, item in ipairs(items) do bytes = bytes + #item end
  return bytes
end
local function dataOf(job, items)
  return job.head .. table.concat(items, ',') .. job.tail
end
-- Whether somebody may still want it: a sync call whose caller has gone, an async one that has an end, do not run.
local function isWanted(class, tenant, job, now)
  if class == 's' then return job.expires == 0 or job.expires > now end
  for _, inv in ipairs(job.invs) do
    if call('EXISTS', endKey(tenant, inv)) == 0 then return true end
  end
  return false
end
-- A function of the tenant that may run, and how many calls of it; nil: none may; false: not found yet.
local function pick(class, tenant, gate, g)
  if g.paused or g.run >= g.max then return nil end
  local list = functionsKey(class, tenant)
  local first
  for _ = 1, MOST_FUNCTIONS do
    local fn = call('LINDEX', list, 0)
    if not fn or fn == first then return nil end
    first = first or fn
    local room = roomFor(gate, g, fn)
    if room > 0 then return fn, room end
    call('LMOVE', list, list, 'LEFT', 'RIGHT')
  end
  return false
end
local function leaveRing(class, gate)
  call('LPOP', ringKey(class))
  call('HDEL', gate, 'ring:' .. class, 'd:' .. class)
  w.turn[class] = ''
end
local function endTurn(class)
  call('LMOVE', ringKey(class), ringKey(class), 'LEFT', 'RIGHT')
  w.turn[class] = ''
end
-- Takes the oldest job of a function, or as much of it as there is room for. Returns whether the function has more.
local function take(class, tenant, gate, g, fn, room, now)
  local wait = waitKey(class, tenant, fn)
  local list = functionsKey(class, tenant)
  local packed = call('LPOP', wait)
  local job = packed and cmsgpack.unpack(packed)
  local waiting = job and #job.items or 0
  local k = 0
  if job and isWanted(class, tenant, job, now) then
    k = math.min(waiting, room)
    local items = job.items
    if k < waiting then
      items = part(job.items, 1, k)
      local rest = { id = job.id, head = job.head, tail = job.tail, lease = job.lease, expires = job.expires,
        items = part(job.items, k + 1, waiting), invs = part(job.invs, k + 1, waiting) }
      call('LPUSH', wait, cmsgpack.pack(rest))
    end
    if class == 's' then
      for i = 1, k do call('ZREM', LEASES, 'qs ' .. tenant .. ' ' .. fn .. ' ' .. job.invs[i]) end
    end
    enqueue(class, job.id, dataOf(job, items), now)
    hold(class, tenant, fn, job.invs, k, job.lease, now)
    w.run[class] = w.run[class] + 1
    g.run = g.run + k
    g.ran = g.ran + k
    waiting = k
    job.items = items
  end
  if class == 'a' and job then call('SREM', heldKey(tenant), unpack(job.invs, 1, waiting)) end
  w.queued[class] = w.queued[class] - waiting
  g.qn = g.qn - waiting
  g.qb = g.qb - (job and bytesOf(job.items) or 0)
  g.deficit = g.deficit - k
  if call('EXISTS', wait) == 0 then call('LPOP', list)
  else call('LMOVE', list, list, 'LEFT', 'RIGHT') end
  call('HSET', gate, 'run', g.run, 'qn', g.qn, 'qb', g.qb, 'd:' .. class, g.deficit)
  if g.ran > 0 then call('HSET', gate, 'r:' .. fn, g.ran) end
  return call('EXISTS', list) == 1
end
local function release(class)
  if w.queued[class] <= 0 or w.run[class] >= w.size then return end
  local now = nowMs()
  local visits = MOST_VISITS
  while w.run[class] < w.size and w.queued[class] > 0 and visits > 0 do
    visits = visits - 1
    local tenant = call('LINDEX', ringKey(class), 0)
    if not tenant then break end
    local gate = gateKey(tenant)
    local v = call('HMGET', gate, 'weight', 'max', 'paused', 'run', 'qn', 'qb', 'd:' .. class, 'kept')
    local g = { weight = math.max(0.05, tonumber(v[1]) or 1), max = tonumber(v[2]) or 1024, paused = v[3] == '1',
      run = tonumber(v[4]) or 0, qn = tonumber(v[5]) or 0, qb = tonumber(v[6]) or 0,
      deficit = tonumber(v[7]) or 0, kept = v[8] }
    local fn, room = pick(class, tenant, gate, g)
    if fn == nil then
      leaveRing(class, gate)
    elseif fn == false then
      endTurn(class)
    else
      if w.turn[class] ~= tenant then
        w.turn[class] = tenant
        g.deficit = g.deficit + g.weight
      end
      if g.deficit <= 0 then
        call('HSET', gate, 'd:' .. class, g.deficit)
        endTurn(class)
      elseif not take(class, tenant, gate, g, fn, room, now) then
        leaveRing(class, gate)
      elseif g.deficit <= 0 then
        endTurn(class)
      end
    end
  end
  saveWindow(class)
end
local function releaseAll()
  release('s')
  release('a')
end
-- Puts a job at the end of its tenant's backlog.
local function wait(class, tenant, fn, job)
  local gate = gateKey(tenant)
  local key = waitKey(class, tenant, fn)
  if call('RPUSH', key, cmsgpack.pack(job)) == 1 then call('RPUSH', functionsKey(class, tenant), fn) end
  if class == 'a' then call('SADD', heldKey(tenant), unpack(job.invs)) end
  if call('HGET', gate, 'ring:' .. class) ~= '1' then
    call('RPUSH', ringKey(class), tenant)
    call('HSET', gate, 'ring:' .. class, '1')
  end
  w.queued[class] = w.queued[class] + #job.items
end
`;
