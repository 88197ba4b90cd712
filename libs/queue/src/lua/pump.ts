import { GATE } from './gate.js';

/**
 * What nobody's call does: heals leases, brings back what is due, lets the window move.
 * ARGV: window size; '' keeps it. Answers calls waiting (sync, async), leases healed, when the next is due (ms, '' none).
 */
export const PUMP = `${GATE}
loadWindow()
local now = nowMs()
if ARGV[1] ~= '' and tonumber(ARGV[1]) ~= w.size then
  w.size = tonumber(ARGV[1])
  call('HSET', WINDOW, 'size', w.size)
end
local healed = heal(now)
flushBack()
for _, packed in ipairs(call('ZRANGEBYSCORE', LATER, '-inf', whole(now), 'LIMIT', 0, 128)) do
  call('ZREM', LATER, packed)
  local later = cmsgpack.unpack(packed)
  local gate = gateKey(later.tenant)
  call('HINCRBY', gate, 'qn', #later.job.items)
  call('HINCRBY', gate, 'qb', bytesOf(later.job.items))
  wait('a', later.tenant, later.fn, later.job)
end
call('HSET', WINDOW, 'run:s', w.run.s, 'run:a', w.run.a, 'queued:s', w.queued.s, 'queued:a', w.queued.a)
releaseAll()
local due = call('ZRANGE', LATER, 0, 0, 'WITHSCORES')
return { w.queued.s, w.queued.a, healed, due[2] or '' }
`;

/**
 * What the gate knows of a tenant changes. ARGV: tenant; then field and value of each setting ('' removes it).
 * What waited for the change goes.
 */
export const CONFIGURE = `${GATE}
loadWindow()
local gate = gateKey(ARGV[1])
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then call('HDEL', gate, ARGV[i]) else call('HSET', gate, ARGV[i], ARGV[i + 1]) end
end
rejoin(ARGV[1])
releaseAll()
return 0
`;

/**
 * As \`CONFIGURE\`, for one function. ARGV: tenant, function, most running ('' no cap), running kept free.
 */
export const CONFIGURE_FUNCTION = `${GATE}
loadWindow()
local gate, fn, kept = gateKey(ARGV[1]), ARGV[2], tonumber(ARGV[4])
if ARGV[3] == '' then call('HDEL', gate, 'c:' .. fn) else call('HSET', gate, 'c:' .. fn, ARGV[3]) end
local known = call('HGET', gate, 'kept')
local all = known and cjson.decode(known) or {}
all[fn] = kept > 0 and kept or nil
if next(all) then call('HSET', gate, 'kept', cjson.encode(all)) else call('HDEL', gate, 'kept') end
rejoin(ARGV[1])
releaseAll()
return 0
`;
