import { GATE } from './gate.js';

/**
 * Decides about calls of one function, and queues those that may come in, in one step (docs/queue.md).
 *
 * ARGV: class, tenant, function, rate, burst, most in flight, most queued, most queued bytes, window size, most queued
 * of the platform, ms to the latest start (0 any), lease ms, expires at ms (0 never), head and tail of the job's JSON;
 * then invocation, item, accepted at ms of each call.
 * Answers how many came in, job id, tokens left, ms until the bucket is full, calls that wait; then, when some were
 * refused: limit, its value, the current value, ms after which a retry may succeed.
 */
export const ADMIT_HEAD = 15;
export const ADMIT = `${GATE}
local class, tenant, fn = ARGV[1], ARGV[2], ARGV[3]
local rate, burst = tonumber(ARGV[4]), tonumber(ARGV[5])
local gate = gateKey(tenant)
local now = nowMs()
loadWindow()
local g
local function loadGate()
  local v = call('HMGET', gate, 'tok', 'at', 'inf', 'run', 'qn', 'qb', 'max', 'paused', 'r:' .. fn, 'c:' .. fn, 'kept')
  g = { tok = tonumber(v[1]) or burst, at = tonumber(v[2]) or now, inf = tonumber(v[3]) or 0,
    run = tonumber(v[4]) or 0, qn = tonumber(v[5]) or 0, qb = tonumber(v[6]) or 0, max = tonumber(v[7]) or 1024,
    paused = v[8] == '1', ran = tonumber(v[9]) or 0, cap = tonumber(v[10]), kept = v[11] }
end
loadGate()
local n = (#ARGV - ${ADMIT_HEAD}) / 3
local k = n
local limit, value, current, retryMs

-- A clock that was set back gives nothing and takes nothing; one set forward gives no more than the burst.
local tokens = math.min(burst, g.tok + math.max(0, now - g.at) * rate / 1000)
local function callsIn(count, perS)
  if perS <= 0 then return 1000 end
  return math.ceil(count * 1000 / perS)
end
local function refuse(most, name, limitValue, currentValue, ms)
  if most >= k then return end
  k = math.max(0, most)
  limit, value, current, retryMs = name, limitValue, currentValue, ms
end

refuse(math.floor(tokens), 'ratePerS', rate, math.floor(burst - tokens), callsIn(1 - (tokens - math.floor(tokens)), rate))
local maxInFlight = tonumber(ARGV[6])
local size = tonumber(ARGV[9])
if size ~= w.size then
  w.size = size
  call('HSET', WINDOW, 'size', size)
end
-- Where a limit is met, leases that nobody will give back are looked for first.
if (class == 's' and g.inf + k > maxInFlight) or w.run[class] >= w.size or g.run + k > g.max then
  -- A write that Redis refuses when it is out of memory, before one that it does not: then nothing comes in.
  call('HSET', WINDOW, 'size', size)
  if heal(now) > 0 then
    flushBack()
    call('HSET', WINDOW, 'run:s', w.run.s, 'run:a', w.run.a)
    releaseAll()
    loadGate()
  end
end
if class == 's' then refuse(maxInFlight - g.inf, 'maxInFlight', maxInFlight, g.inf, callsIn(1, w.perS)) end

local room = 0
if not g.paused and w.run[class] < w.size and call('EXISTS', waitKey(class, tenant, fn)) == 0 then
  room = math.min(g.max - g.run, g.cap and g.cap - g.ran or g.max)
  if room > 0 and g.kept then room = roomFor(gate, g, fn) end
end
local direct = math.max(0, math.min(k, room))
-- An async call is a job of its own, so that it can be tried again alone.
if class == 'a' then direct = math.min(direct, w.size - w.run.a) end
local function item(i) return ARGV[${ADMIT_HEAD} + 3 * i - 1] end
local function invocation(i) return ARGV[${ADMIT_HEAD} + 3 * i - 2] end

if direct < k then
  local maxQueued, maxBytes, depth = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[10])
  refuse(direct + math.max(0, maxQueued - g.qn), 'maxQueued', maxQueued, g.qn, callsIn(1, w.perS))
  local bytes = g.qb
  for i = direct + 1, k do
    bytes = bytes + #item(i)
    if bytes > maxBytes then
      refuse(i - 1, 'maxQueuedBytes', maxBytes, g.qb, callsIn(1, w.perS))
      break
    end
  end
  local queued = w.queued[class]
  refuse(direct + math.max(0, depth - queued), 'maxQueueDepth', depth, queued, callsIn(queued, w.perS))
  local deadline = tonumber(ARGV[11])
  if deadline > 0 and w.perS > 0 and not g.paused then
    local ahead = math.min(queued, g.qn * (call('LLEN', ringKey(class)) + 1))
    local startMs = callsIn(ahead, w.perS)
    if startMs > deadline then refuse(direct, 'startWithinMs', deadline, startMs, startMs - deadline) end
  end
end

local jobId = ''
local head, tail, leaseMs = ARGV[14], ARGV[15], tonumber(ARGV[12])
local function jobOf(from, to)
  local job = { id = class == 'a' and invocation(from) or '', head = head, tail = tail, lease = leaseMs,
    expires = tonumber(ARGV[13]), items = {}, invs = {} }
  for i = from, to do
    job.items[#job.items + 1] = item(i)
    job.invs[#job.invs + 1] = invocation(i)
  end
  return job
end
direct = math.min(direct, k)
local step = class == 'a' and 1 or math.max(1, direct)
for from = 1, direct, step do
  local job = jobOf(from, from + step - 1)
  jobId = enqueue(class, job.id, dataOf(job, job.items), now)
  hold(class, tenant, fn, job.invs, step, leaseMs, now)
  w.run[class] = w.run[class] + 1
end
if direct > 0 then call('HSET', WINDOW, 'run:' .. class, w.run[class]) end
if direct < k then
  step = class == 'a' and 1 or k - direct
  for from = direct + 1, k, step do
    local job = jobOf(from, from + step - 1)
    wait(class, tenant, fn, job)
    if class == 's' then
      -- In flight until its caller has gone; released, it gets a lease of its own.
      for _, inv in ipairs(job.invs) do
        call('ZADD', LEASES, whole(now + leaseMs), 'qs ' .. tenant .. ' ' .. fn .. ' ' .. inv)
      end
    end
    g.qb = g.qb + bytesOf(job.items)
  end
  g.qn = g.qn + k - direct
  call('HSET', gate, 'qn', g.qn, 'qb', g.qb)
  call('HSET', WINDOW, 'queued:' .. class, w.queued[class])
end
if class == 'a' then
  for i = 1, k do call('ZADD', indexKey(tenant), ARGV[${ADMIT_HEAD} + 3 * i], invocation(i)) end
end
tokens = tokens - k
call('HSET', gate, 'tok', tokens, 'at', whole(now), 'inf', g.inf + (class == 's' and k or 0),
  'run', g.run + direct, 'r:' .. fn, g.ran + direct)
local full = rate > 0 and math.ceil((burst - tokens) * 1000 / rate) or 0
if k == n then return { k, jobId, math.floor(tokens), full, w.queued[class] } end
return { k, jobId, math.floor(tokens), full, w.queued[class], limit, tostring(value), whole(current), whole(retryMs) }
`;
