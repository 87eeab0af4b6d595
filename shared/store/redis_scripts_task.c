/* The queue's scripts, and what they share. */
#include "store/redis_scripts.h"

/* clang-format off */
const char redis_task_prelude[] =
	"local function T(id) return P .. 'task:' .. id end\n"
	"local function place(seq, id) return string.format('%015d', seq) .. id end\n"
	"local function moved(from, to)\n"
	" if from then call('HINCRBY', P .. 'counts', from, -1) end\n"
	" if to then call('HINCRBY', P .. 'counts', to, 1) end\n"
	" call('INCR', P .. 'wake:1')\n"
	"end\n"
	"local function wake() call('INCR', P .. 'wake:0') end\n"
	"local function room(lane)\n"
	" return math.max(1, int(string.match(lane, '%*(%d+)$') or 1)) - int(call('HGET', P .. 'running', lane))\n"
	"end\n"
	"local function promote(lane)\n"
	" local n = lane == '' and 0 or room(lane)\n"
	" if n < 1 then return end\n"
	" for _, id in ipairs(call('ZRANGE', P .. 'lane:' .. lane, 0, n - 1)) do\n"
	"  local h = call('HMGET', T(id), 'due_ms', 'seq')\n"
	"  call('ZADD', P .. 'ready', int(h[1]), place(h[2], id))\n"
	" end\n"
	"end\n"
	"local function stands(id)\n"
	" local h = call('HMGET', T(id), 'status', 'fence', 'cancel_requested', 'lane', 'seq')\n"
	" if not h[5] then return nil end\n"
	" return { status = int(h[1]), fence = int(h[2]), cancel = int(h[3]) == 1, lane = h[4] or '', seq = h[5] }\n"
	"end\n"
	"local function leave(id, h)\n"
	" call('ZREM', P .. 'leases', id)\n"
	" call('ZREM', P .. 'lane:' .. h.lane, id)\n"
	" call('ZREM', P .. 'ready', place(h.seq, id))\n"
	" if h.status == 1 and h.lane ~= '' and call('HINCRBY', P .. 'running', h.lane, -1) < 1 then\n"
	"  call('HDEL', P .. 'running', h.lane)\n"
	" end\n"
	"end\n"
	"local function stop(id, h, to, keep, callback)\n"
	" local t = now()\n"
	" call('HSET', T(id), 'status', to, 'ended_ms', t, 'expires_ms', keep > 0 and t + keep or 0,\n"
	"  'lease_until_ms', 0, 'cancel_requested', 0, 'callback_due_ms', callback and t or 0)\n"
	" call('HDEL', T(id), 'secret')\n"
	" leave(id, h)\n"
	" if keep > 0 then call('ZADD', P .. 'expires', t + keep, id) end\n"
	" if callback then call('ZADD', P .. 'callbacks', t, id) end\n"
	" moved(h.status, to)\n"
	" promote(h.lane)\n"
	" wake()\n"
	"end\n";

const char redis_task_add[] =
	/* id, owner, lane, status, due, lease, queue length, number of idem's words, these, pairs */
	"local id, owner, lane, status = ARGV[1], ARGV[2], ARGV[3], int(ARGV[4])\n"
	"if call('EXISTS', T(id)) == 1 then return { 1 } end\n"
	"local most, t, n = int(ARGV[7]), now(), int(ARGV[8])\n"
	"if status == 0 and most > 0 then\n"
	" local c = call('HMGET', P .. 'counts', 0, 2)\n"
	" if int(c[1]) + int(c[2]) >= most then return { 2 } end\n"
	"end\n"
	"if n > 0 then\n"
	" local p = {}\n"
	" for i = 14, 8 + n do p[#p + 1] = ARGV[i] end\n"
	" local other = idem(ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13], p)\n"
	" if other then return { 3, other } end\n"
	"end\n"
	"local seq, words = call('INCR', P .. 'seq'), rest(9 + n)\n"
	"words[#words + 1] = 'seq'\n"
	"words[#words + 1] = seq\n"
	"if status == 1 then\n"
	" local till = t + int(ARGV[6])\n"
	" words[#words + 1] = 'lease_until_ms'\n"
	" words[#words + 1] = till\n"
	" call('ZADD', P .. 'leases', till, id)\n"
	"else\n"
	" local due, key = math.max(t, int(ARGV[5])), P .. 'lane:' .. lane\n"
	" words[#words + 1] = 'due_ms'\n"
	" words[#words + 1] = due\n"
	" call('ZADD', key, seq, id)\n"
	" if lane == '' or call('ZCARD', key) <= room(lane) then\n"
	"  call('ZADD', P .. 'ready', due, place(seq, id))\n"
	" end\n"
	" wake()\n"
	"end\n"
	"set(T(id), words)\n"
	"call('ZADD', P .. 'tasks', seq, id)\n"
	"call('ZADD', P .. 'tasks:' .. owner, seq, id)\n"
	"moved(nil, status)\n"
	"return { 1 }\n";

const char redis_task_get[] =
	/* id */
	"local h = call('HGETALL', T(ARGV[1]))\n"
	"if #h > 0 then return { 1, h } end\n"
	"local owner = call('GET', P .. 'gone:' .. ARGV[1])\n"
	"return owner and { 2, owner } or { 0 }\n";

const char redis_task_claim[] =
	/* worker, lease */
	"local t = now()\n"
	"local till = t + int(ARGV[2])\n"
	"local id = call('ZRANGEBYSCORE', P .. 'leases', '-inf', t, 'LIMIT', 0, 1)[1]\n"
	"if id then\n"
	" call('HSET', T(id), 'worker', ARGV[1], 'lease_until_ms', till)\n"
	" call('HINCRBY', T(id), 'fence', 1)\n"
	" call('ZADD', P .. 'leases', till, id)\n"
	" call('INCR', P .. 'wake:1')\n"
	" return { 2, call('HGETALL', T(id)) }\n"
	"end\n"
	"local m = call('ZRANGEBYSCORE', P .. 'ready', '-inf', t, 'LIMIT', 0, 1)[1]\n"
	"if not m then return { 0 } end\n"
	"id = string.sub(m, 16)\n"
	"local h = stands(id)\n"
	"if not h or (h.status ~= 0 and h.status ~= 2) then\n"
	" call('ZREM', P .. 'ready', m)\n"
	" return { 3 }\n"
	"end\n"
	"leave(id, h)\n"
	"if h.lane ~= '' then call('HINCRBY', P .. 'running', h.lane, 1) end\n"
	"call('HSET', T(id), 'status', 1, 'worker', ARGV[1], 'lease_until_ms', till, 'dispatched', 0, 'cancel_requested', 0)\n"
	"call('HDEL', T(id), 'upstream_id')\n"
	"call('HINCRBY', T(id), 'fence', 1)\n"
	"call('HINCRBY', T(id), 'attempts', 1)\n"
	"if int(call('HGET', T(id), 'started_ms')) == 0 then call('HSET', T(id), 'started_ms', t) end\n"
	"call('ZADD', P .. 'leases', till, id)\n"
	"moved(h.status, 1)\n"
	"return { 1, call('HGETALL', T(id)) }\n";

const char redis_task_renew[] =
	/* id, fence, lease */
	"local h = stands(ARGV[1])\n"
	"if not h or h.status ~= 1 or h.fence ~= int(ARGV[2]) then return { 0, 0 } end\n"
	"local till = now() + int(ARGV[3])\n"
	"call('HSET', T(ARGV[1]), 'lease_until_ms', till)\n"
	"call('ZADD', P .. 'leases', till, ARGV[1])\n"
	"return { 1, h.cancel and 1 or 0 }\n";

const char redis_task_advance[] =
	/* id, fence, pairs */
	"local h = stands(ARGV[1])\n"
	"if not h or h.status ~= 1 or h.fence ~= int(ARGV[2]) then return 0 end\n"
	"set(T(ARGV[1]), rest(3))\n"
	"call('INCR', P .. 'wake:1')\n"
	"return 1\n";

const char redis_task_finish[] =
	/* id, fence, status, keep, callback, history's words (0 or 2), these, pairs */
	"local id, h, n = ARGV[1], stands(ARGV[1]), int(ARGV[6])\n"
	"if not h or h.fence ~= int(ARGV[2]) or h.status == 0 or h.status == 2 then return { 0, h and h.status or 0 } end\n"
	"if h.status ~= 1 then return { 1, h.status } end\n"
	"local to = int(ARGV[3])\n"
	"if n > 0 then call('HSET', T(id), ARGV[7], ARGV[8]) end\n"
	"if h.cancel then to = 5 else set(T(id), rest(7 + n)) end\n"
	"stop(id, h, to, int(ARGV[4]), ARGV[5] == '1')\n"
	"return { 1, to }\n";

const char redis_task_requeue[] =
	/* id, fence, delay, uncounted, keep, callback, pairs */
	"local id, h = ARGV[1], stands(ARGV[1])\n"
	"if not h or h.fence ~= int(ARGV[2]) then return { 0, h and h.status or 0 } end\n"
	"if h.status ~= 1 then return { 1, h.status } end\n"
	"set(T(id), rest(7))\n"
	"if h.cancel then\n"
	" stop(id, h, 5, int(ARGV[5]), ARGV[6] == '1')\n"
	" return { 1, 5 }\n"
	"end\n"
	"local due = now() + int(ARGV[3])\n"
	"call('HSET', T(id), 'status', 2, 'due_ms', due, 'dispatched', 0, 'lease_until_ms', 0)\n"
	"call('HDEL', T(id), 'upstream_id')\n"
	"if ARGV[4] == '1' and int(call('HGET', T(id), 'attempts')) > 0 then call('HINCRBY', T(id), 'attempts', -1) end\n"
	"leave(id, h)\n"
	"call('ZADD', P .. 'lane:' .. h.lane, h.seq, id)\n"
	"if h.lane == '' then call('ZADD', P .. 'ready', due, place(h.seq, id)) else promote(h.lane) end\n"
	"moved(1, 2)\n"
	"wake()\n"
	"return { 1, 2 }\n";

const char redis_task_cancel[] =
	/* id, keep */
	"local id, h = ARGV[1], stands(ARGV[1])\n"
	"if not h then return { 0, 0, 0 } end\n"
	"if h.status > 2 then return { 1, 0, h.status } end\n"
	"if h.status == 1 then\n"
	" call('HSET', T(id), 'cancel_requested', 1)\n"
	" call('INCR', P .. 'wake:1')\n"
	" return { 1, 1, 1 }\n"
	"end\n"
	"stop(id, h, 5, int(ARGV[2]), (call('HGET', T(id), 'callback') or '') ~= '')\n"
	"return { 1, 1, 5 }\n";

const char redis_task_position[] =
	/* id; without the prelude, whose functions would be made for each of those who wait */
	"local h = call('HMGET', P .. 'task:' .. ARGV[1], 'status', 'lane', 'seq')\n"
	"local status = int(h[1])\n"
	"if not h[3] or (status ~= 0 and status ~= 2) then return 0 end\n"
	"return (call('ZRANK', P .. 'lane:' .. (h[2] or ''), ARGV[1]) or -1) + 1\n";

const char redis_task_callback[] =
	/* put off by */
	"local t = now()\n"
	"local id = call('ZRANGEBYSCORE', P .. 'callbacks', '-inf', t, 'LIMIT', 0, 1)[1]\n"
	"if not id then return {} end\n"
	"if call('EXISTS', T(id)) == 0 then\n"
	" call('ZREM', P .. 'callbacks', id)\n"
	" return {}\n"
	"end\n"
	"call('ZADD', P .. 'callbacks', t + int(ARGV[1]), id)\n"
	"call('HSET', T(id), 'callback_due_ms', t + int(ARGV[1]))\n"
	"call('HINCRBY', T(id), 'callback_tries', 1)\n"
	"return call('HGETALL', T(id))\n";

const char redis_task_callback_done[] =
	/* id, due in, pairs */
	"local id, h, due = ARGV[1], stands(ARGV[1]), 0\n"
	"if not h or h.status < 3 then return 0 end\n"
	"if int(ARGV[2]) >= 0 then due = now() + int(ARGV[2]) end\n"
	"if due > 0 then call('ZADD', P .. 'callbacks', due, id) else call('ZREM', P .. 'callbacks', id) end\n"
	"set(T(id), rest(3))\n"
	"call('HSET', T(id), 'callback_due_ms', due)\n"
	"return 1\n";

const char redis_prune[] =
	/* at most, how long an id is remembered, and what became of a job */
	"local t = now()\n"
	"local jobs = call('ZRANGEBYSCORE', P .. 'jobs', '-inf', t - int(ARGV[2]), 'LIMIT', 0, ARGV[1])\n"
	"for _, m in ipairs(jobs) do\n"
	" call('DEL', P .. 'job:' .. string.sub(m, 16))\n"
	" call('ZREM', P .. 'jobs', m)\n"
	"end\n"
	"local ids = call('ZRANGEBYSCORE', P .. 'expires', '-inf', t, 'LIMIT', 0, ARGV[1])\n"
	"for _, id in ipairs(ids) do\n"
	" local h = call('HMGET', T(id), 'owner', 'status')\n"
	" call('ZREM', P .. 'expires', id)\n"
	" call('ZREM', P .. 'callbacks', id)\n"
	" call('ZREM', P .. 'tasks', id)\n"
	" if h[2] then\n"
	"  call('ZREM', P .. 'tasks:' .. (h[1] or ''), id)\n"
	"  call('DEL', T(id))\n"
	"  call('SET', P .. 'gone:' .. id, h[1] or '', 'PX', ARGV[2])\n"
	"  moved(h[2], nil)\n"
	" end\n"
	"end\n"
	"return #ids + #jobs\n";

const char redis_task_rebuild[] =
	/* nothing: what follows from the tasks themselves */
	"for _, k in ipairs({ 'ready', 'leases', 'running', 'counts', 'expires', 'callbacks' }) do call('DEL', P .. k) end\n"
	"local lanes, n = {}, {}\n"
	"for _, id in ipairs(call('ZRANGE', P .. 'tasks', 0, -1)) do\n"
	" local h = call('HMGET', T(id), 'status', 'lane', 'seq', 'due_ms', 'lease_until_ms', 'expires_ms', 'callback_due_ms')\n"
	" if h[3] then\n"
	"  local status, lane = int(h[1]), h[2] or ''\n"
	"  n[status] = (n[status] or 0) + 1\n"
	"  if not lanes[lane] then\n"
	"   lanes[lane] = true\n"
	"   call('DEL', P .. 'lane:' .. lane)\n"
	"  end\n"
	"  if status == 1 then\n"
	"   call('ZADD', P .. 'leases', int(h[5]), id)\n"
	"   if lane ~= '' then call('HINCRBY', P .. 'running', lane, 1) end\n"
	"  elseif status == 0 or status == 2 then\n"
	"   call('ZADD', P .. 'lane:' .. lane, h[3], id)\n"
	"   if lane == '' then call('ZADD', P .. 'ready', int(h[4]), place(h[3], id)) end\n"
	"  else\n"
	"   if int(h[6]) > 0 then call('ZADD', P .. 'expires', int(h[6]), id) end\n"
	"   if int(h[7]) > 0 then call('ZADD', P .. 'callbacks', int(h[7]), id) end\n"
	"  end\n"
	" end\n"
	"end\n"
	"for lane, _ in pairs(lanes) do promote(lane) end\n"
	"for status, k in pairs(n) do call('HSET', P .. 'counts', status, k) end\n"
	"return 1\n";

/* clang-format on */
