import { RUNS } from './attempts.js';
import { CALL_BACK_NOW } from './callbacks.js';
import { DEAD } from './dead-letters.js';
import { GATE } from './gate.js';

/** Arguments before those of the records, and of each record. */
export const SETTLE_HEAD = 3;
export const SETTLE_FIELDS = 14;

/**
 * Ends of invocations. NX decides which end stands; what counts (usage, index) counts with it, so the counts add up to
 * the records. Whoever came second learns what stands.
 *
 * It begins with a command that frees memory, so Redis runs it when it is out of memory, too: what was let in can end.
 *
 * Usage is one field a function: calls, failed calls, CPU µs, MiB·µs, bytes in, bytes out.
 *
 * ARGV: record life ms, usage life s, '1' to answer with the records that stand; then class, tenant, function,
 * invocation, record, accepted at ms, day, CPU µs, MiB·µs, bytes in, bytes out, failed ('1'), dead letter ('' none), ended at ms of each.
 * Answers 1 for an end that was the first, else the record that stands (or 0).
 */
export const SETTLE = `${GATE}${RUNS}${DEAD}${CALL_BACK_NOW}
loadWindow()
local usage = {}
local answers = {}
local ends = 0
for i = ${SETTLE_HEAD + 1}, #ARGV, ${SETTLE_FIELDS} do
  local class, tenant, fn, inv = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local key = endKey(tenant, inv)
  giveBack(class, tenant, fn, inv)
  if call('SET', key, ARGV[i + 4], 'PX', ARGV[1], 'NX') then
    answers[#answers + 1] = 1
    ends = ends + 1
    if class == 's' then call('ZADD', indexKey(tenant), ARGV[i + 5], inv)
    else
      call('DEL', runKey(tenant, inv))
      callBackNow(tenant, inv)
    end
    if ARGV[i + 12] ~= '' then bury(tenant, fn, inv, ARGV[i + 12], ARGV[i + 13], ARGV[1]) end
    local day = 'mf:s:use:' .. tenant .. ':' .. ARGV[i + 6]
    local of = usage[day .. ' ' .. fn]
    if not of then
      of = { day = day, fn = fn, 0, 0, 0, 0, 0, 0 }
      usage[day .. ' ' .. fn] = of
    end
    of[1] = of[1] + 1
    if ARGV[i + 11] == '1' then of[2] = of[2] + 1 end
    for j = 3, 6 do of[j] = of[j] + tonumber(ARGV[i + 4 + j]) end
    if class == 'a' then call('PUBLISH', endedChannel(tenant, inv), '') end
  elseif ARGV[3] == '1' then
    answers[#answers + 1] = call('GET', key) or 0
  else
    answers[#answers + 1] = 0
  end
end
for _, of in pairs(usage) do
  local known = call('HGET', of.day, of.fn)
  local n, failed, cpu, memory, bytesIn, bytesOut = string.match(known or '0 0 0 0 0 0', '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  if not known and call('EXISTS', of.day) == 0 then
    call('HSET', of.day, of.fn, '0 0 0 0 0 0')
    call('EXPIRE', of.day, ARGV[2])
  end
  call('HSET', of.day, of.fn, table.concat({ whole(n + of[1]), whole(failed + of[2]), whole(cpu + of[3]),
    whole(memory + of[4]), whole(bytesIn + of[5]), whole(bytesOut + of[6]) }, ' '))
end
flushBack()
if ends > 0 then
  if countEnds(ends) then
    local tenant = ARGV[${SETTLE_HEAD + 2}]
    call('ZREMRANGEBYSCORE', indexKey(tenant), '-inf', whole(w.since - tonumber(ARGV[1])))
    call('HSET', WINDOW, 'since', whole(w.since), 'perS', w.perS)
  end
  call('HSET', WINDOW, 'ended', w.ended, 'run:s', w.run.s, 'run:a', w.run.a)
else
  call('HSET', WINDOW, 'run:s', w.run.s, 'run:a', w.run.a)
end
releaseAll()
return answers
`;

/**
 * Calls whose guests have ended, or that will run again later, give back their places; their ends are not known yet.
 * ARGV: class, tenant, function, invocation of each.
 */
export const GIVE_BACK_CALLS = `${GATE}
loadWindow()
for i = 1, #ARGV, 4 do giveBack(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]) end
flushBack()
call('HSET', WINDOW, 'run:s', w.run.s, 'run:a', w.run.a)
releaseAll()
return 0
`;
