/**
 * What a call that has ended holds no longer. \`giveBack\` notes it by call, \`flushBack\` writes the counts, tenant by
 * tenant, and puts a tenant that was at a limit back on the ring. Giving back twice changes nothing.
 */
export const GIVE_BACK = `
local back = {}
local function noteBack(class, tenant, fn, ran, waited)
  local t = back[tenant]
  if not t then
    t = { run = 0, inf = 0, fns = {} }
    back[tenant] = t
  end
  if ran then
    t.run = t.run + 1
    t.fns[fn] = (t.fns[fn] or 0) + 1
  end
  if class == 's' and (ran or waited) then t.inf = t.inf + 1 end
end
local function giveBack(class, tenant, fn, inv)
  local call_ = class .. ' ' .. tenant .. ' ' .. fn .. ' ' .. inv
  if call('ZREM', LEASES, '1' .. call_) == 1 then
    w.run[class] = w.run[class] - 1
    noteBack(class, tenant, fn, true)
  elseif call('ZREM', LEASES, '0' .. call_) == 1 then
    noteBack(class, tenant, fn, true)
  elseif class == 's' and call('ZREM', LEASES, 'q' .. call_) == 1 then
    noteBack(class, tenant, fn, false, true)
  end
end
-- A tenant with a backlog that no ring names was at a limit when its turn came.
local function rejoin(tenant)
  for class, queued in pairs(w.queued) do
    if queued > 0 and call('EXISTS', functionsKey(class, tenant)) == 1 and
      call('HGET', gateKey(tenant), 'ring:' .. class) ~= '1' then
      call('RPUSH', ringKey(class), tenant)
      call('HSET', gateKey(tenant), 'ring:' .. class, '1')
    end
  end
end
local function flushBack()
  for tenant, t in pairs(back) do
    local gate = gateKey(tenant)
    if t.run > 0 then call('HINCRBY', gate, 'run', -t.run) end
    if t.inf > 0 then call('HINCRBY', gate, 'inf', -t.inf) end
    for fn, n in pairs(t.fns) do
      if call('HINCRBY', gate, 'r:' .. fn, -n) == 0 then call('HDEL', gate, 'r:' .. fn) end
    end
    rejoin(tenant)
  end
end
-- Leases whose holders died: of those that ran out, and of those that a clock set far ahead by a step that was undone.
local LONGEST_LEASE_MS = 7200000
local function heal(now)
  local healed = 0
  for _, range in ipairs({ { '-inf', now }, { '(' .. whole(now + LONGEST_LEASE_MS), '+inf' } }) do
    for _, member in ipairs(call('ZRANGEBYSCORE', LEASES, range[1], range[2], 'LIMIT', 0, 128)) do
      local class, tenant, fn, inv = string.match(member, '^.(.) (%S+) (%S+) (%S+)$')
      if class then giveBack(class, tenant, fn, inv) else call('ZREM', LEASES, member) end
      healed = healed + 1
    end
  end
  return healed
end
`;
