import { GATE } from './gate.js';

const RUN_PREFIX = 'mf:s:run:';
export const runKey = (tenant: string, invocationId: string): string =>
  `${RUN_PREFIX}${tenant}:${invocationId}`;

/**
 * What is known of an async invocation that has begun and not ended: a hash of state (`starting`, `running`, `queued`
 * between attempts), n (attempts begun), worker, at (begin of the attempt, ms), version, faults (attempts that the host
 * failed), past (JSON of ended attempts, joined by commas), next (ms, of the next attempt), cancel ('1': wanted).
 */
export const RUNS = `
local function runKey(tenant, inv) return '${RUN_PREFIX}' .. tenant .. ':' .. inv end
`;

/**
 * A worker takes an attempt. One that is still on record as under way was lost with its worker, and becomes a past one.
 * ARGV: tenant, invocation, worker, version, life ms, BullMQ's job. Answers '' for an invocation that has an end; else number of the
 * attempt, attempts that the host failed, past attempts, '1' where a cancel is wanted.
 */
export const BEGIN = `${GATE}${RUNS}
local tenant, inv = ARGV[1], ARGV[2]
if call('EXISTS', endKey(tenant, inv)) == 1 then return {''} end
local run = runKey(tenant, inv)
local v = call('HMGET', run, 'state', 'n', 'worker', 'at', 'version', 'faults', 'past', 'cancel')
local n, faults, past = tonumber(v[2]) or 0, tonumber(v[6]) or 0, v[7] or ''
local now = nowMs()
if v[1] == 'starting' or v[1] == 'running' then
  local lost = '{"attempt":' .. whole(n) .. ',"workerId":' .. cjson.encode(v[3]) .. ',"version":' .. v[5] ..
    ',"startedAtMs":' .. v[4] .. ',"finishedAtMs":' .. whole(now) ..
    ',"outcome":"host-fault","detail":"The worker that ran the attempt was lost"}'
  past = past == '' and lost or past .. ',' .. lost
  faults = faults + 1
end
call('HSET', run, 'state', 'starting', 'n', whole(n + 1), 'worker', ARGV[3], 'at', whole(now), 'version', ARGV[4],
  'faults', whole(faults), 'past', past, 'job', ARGV[6])
call('HDEL', run, 'next')
call('PEXPIRE', run, ARGV[5])
return {whole(n + 1), faults, past, v[8] or ''}
`;

/** A guest is under way. ARGV: tenant, invocation, attempt. Nothing changes when another attempt has begun. */
export const RUNNING = `${GATE}${RUNS}
local run = runKey(ARGV[1], ARGV[2])
if call('HGET', run, 'n') == ARGV[3] then call('HSET', run, 'state', 'running') end
return 0
`;

/**
 * An attempt has ended, and another one follows at a time. Gives back what it held.
 * ARGV: ms until then, tenant, function, job id, head and tail of the job's JSON, lease ms, invocation, item JSON, number
 * of the attempt, JSON of the attempt, attempts that the host failed with it, life ms. Answers 1; 0 when the invocation
 * has an end or another worker has begun another attempt: nothing changes then.
 */
export const PUT_OFF = `${GATE}${RUNS}
local tenant, fn, inv = ARGV[2], ARGV[3], ARGV[8]
local run = runKey(tenant, inv)
if call('EXISTS', endKey(tenant, inv)) == 1 or call('HGET', run, 'n') ~= ARGV[10] or
  call('HGET', run, 'state') == 'queued' then return 0 end
loadWindow()
giveBack('a', tenant, fn, inv)
flushBack()
local due = whole(nowMs() + tonumber(ARGV[1]))
local job = { id = ARGV[4], head = ARGV[5], tail = ARGV[6], lease = tonumber(ARGV[7]), expires = 0,
  invs = { inv }, items = { ARGV[9] } }
call('ZADD', LATER, due, cmsgpack.pack({ tenant = tenant, fn = fn, job = job }))
call('SADD', heldKey(tenant), inv)
local past = call('HGET', run, 'past') or ''
call('HSET', run, 'state', 'queued', 'next', due, 'faults', ARGV[12],
  'past', past == '' and ARGV[11] or past .. ',' .. ARGV[11])
call('HDEL', run, 'worker', 'at')
call('PEXPIRE', run, ARGV[13])
call('HSET', WINDOW, 'run:s', w.run.s, 'run:a', w.run.a)
releaseAll()
return 1
`;

/**
 * Somebody wants no more of an invocation: no attempt begins any more. ARGV: tenant, invocation. Answers state and
 * worker of the attempt that is under way, or '' and ''.
 */
export const WANT_CANCEL = `${GATE}${RUNS}
local run = runKey(ARGV[1], ARGV[2])
if call('EXISTS', run) == 0 then return {'', ''} end
call('HSET', run, 'cancel', '1')
return { call('HGET', run, 'state') or '', call('HGET', run, 'worker') or '' }
`;
