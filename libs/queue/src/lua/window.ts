/** The run window: how many jobs BullMQ may hold, how many it holds, and how fast calls end. */
export const WINDOW = `
local w
local function loadWindow()
  local v = call('HMGET', WINDOW, 'size', 'run:s', 'run:a', 'queued:s', 'queued:a', 'turn:s', 'turn:a', 'ended', 'since', 'perS')
  w = {
    size = tonumber(v[1]) or 16,
    run = { s = tonumber(v[2]) or 0, a = tonumber(v[3]) or 0 },
    queued = { s = tonumber(v[4]) or 0, a = tonumber(v[5]) or 0 },
    turn = { s = v[6] or '', a = v[7] or '' },
    ended = tonumber(v[8]) or 0, since = tonumber(v[9]) or 0, perS = tonumber(v[10]) or 0,
  }
end
local function saveWindow(class)
  call('HSET', WINDOW, 'run:' .. class, w.run[class], 'queued:' .. class, w.queued[class], 'turn:' .. class, w.turn[class])
end
-- Ends are counted at each; the pace is taken now and then, so that most ends need no clock.
local function countEnds(n)
  w.ended = w.ended + n
  if w.ended < 16 then return false end
  local now = nowMs()
  local elapsed = now - w.since
  if w.since > 0 and elapsed >= 0 and elapsed < 100 then return false end
  if w.since > 0 and elapsed > 0 and elapsed < 60000 then w.perS = w.ended * 1000 / elapsed end
  w.ended = 0
  w.since = now
  return true
end
`;
