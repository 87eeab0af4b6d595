/* The slots' scripts, and what they share.  A call's name is MACHINE/PROCESS/NUMBER, a key is 16 digits. */
#include "store/redis_scripts.h"

/* clang-format off */
const char redis_slot_prelude[] =
	"local provider = ARGV[1]\n"
	"local line, seen, wants = P .. 'slot-line:' .. provider, P .. 'slot-seen:' .. provider, P .. 'slot-wants:' .. provider\n"
	"local function held(key) return P .. 'slot:' .. key .. ':' .. provider end\n"
	"local function queue(key) return P .. 'slot-queue:' .. key .. ':' .. provider end\n"
	"local function leave(who)\n"
	" for key in string.gmatch(call('HGET', wants, who) or '', '%x+') do call('ZREM', queue(key), who) end\n"
	" call('ZREM', line, who)\n"
	" call('ZREM', seen, who)\n"
	" call('HDEL', wants, who)\n"
	"end\n"
	"local function is_of(who, owner) return string.sub(who, 1, #owner) == owner end\n";

const char redis_slot_take[] =
	/*
	 * provider, who, ticket or 0, concurrency, lease, how long it counts as waiting, most in the line, how long
	 * a server that has just begun gives nothing out, the machine whose processes are to be named or '', keys
	 */
	"local who, ticket, most, lease, t = ARGV[2], int(ARGV[3]), int(ARGV[4]), int(ARGV[5]), now()\n"
	"local stay, first = 60000 + lease, 10\n"
	"for _, w in ipairs(call('ZRANGEBYSCORE', seen, '-inf', t, 'LIMIT', 0, 64)) do\n"
	" if w ~= who then leave(w) end\n"
	"end\n"
	"local stands, n, free = call('ZSCORE', line, who), call('ZCARD', line), {}\n"
	"if stands then ticket = int(stands) end\n"
	"for i = first, #ARGV do\n"
	" local h = held(ARGV[i])\n"
	" local over = call('ZRANGEBYSCORE', h, '-inf', t, 'LIMIT', 0, 64)\n"
	" if #over > 0 then call('ZREM', h, unpack(over)) end\n"
	/* the answer that said so did not arrive */
	" if call('ZSCORE', h, who) then\n"
	"  leave(who)\n"
	"  return { 1, i - first, ticket }\n"
	" end\n"
	" local k = call('ZCARD', h)\n"
	" n = n + k\n"
	" free[i] = most - k\n"
	"end\n"
	"if not stands and n >= int(ARGV[7]) then return { 2 } end\n"
	"local function wait()\n"
	" if ticket == 0 then\n"
	"  ticket = call('INCR', P .. 'slot-tickets')\n"
	/* a power cut has taken some along */
	" elseif not stands and int(call('GET', P .. 'slot-tickets')) < ticket then\n"
	"  call('SET', P .. 'slot-tickets', ticket)\n"
	" end\n"
	" if not stands then\n"
	"  call('ZADD', line, ticket, who)\n"
	"  call('HSET', wants, who, table.concat(ARGV, ' ', first))\n"
	"  for i = first, #ARGV do call('ZADD', queue(ARGV[i]), ticket, who) end\n"
	"  stands = true\n"
	" end\n"
	" call('ZADD', seen, t + int(ARGV[6]), who)\n"
	" for _, k in ipairs({ line, seen, wants }) do call('PEXPIRE', k, stay) end\n"
	" for i = first, #ARGV do call('PEXPIRE', queue(ARGV[i]), stay) end\n"
	"end\n"
	"if ticket > 0 then wait() end\n"
	/* Who holds a slot says so again before a server gives one out that may have forgotten it. */
	"local last, settled = call('GET', P .. 'slot-last'), true\n"
	"if not last or t - last >= 1000 or t < tonumber(last) then\n"
	" local up = string.match(call('INFO', 'server'), 'uptime_in_seconds:(%d+)')\n"
	" settled = int(up) * 1000 >= int(ARGV[8])\n"
	"end\n"
	"if settled then\n"
	" call('SET', P .. 'slot-last', t)\n"
	" for i = first, #ARGV do\n"
	/* of those who want this key each before it may take one */
	"  local ahead = free[i] > 0 and (stands and call('ZRANK', queue(ARGV[i]), who) or call('ZCARD', queue(ARGV[i])))\n"
	"  if ahead and ahead < free[i] then\n"
	"   if stands then leave(who) end\n"
	"   call('ZADD', held(ARGV[i]), t + lease, who)\n"
	"   call('PEXPIRE', held(ARGV[i]), stay)\n"
	"   return { 1, i - first, ticket }\n"
	"  end\n"
	" end\n"
	"end\n"
	"if ticket == 0 then wait() end\n"
	"local owners, known = {}, {}\n"
	"local function name(all)\n"
	" for _, w in ipairs(all) do\n"
	"  local owner = is_of(w, ARGV[9]) and string.match(w, '^%x+', #ARGV[9] + 1)\n"
	"  if owner and not known[owner] then\n"
	"   known[owner] = true\n"
	"   owners[#owners + 1] = owner\n"
	"  end\n"
	" end\n"
	"end\n"
	"if ARGV[9] ~= '' then\n"
	/* the leases that nobody renews come first */
	" name(call('ZRANGE', line, 0, 63))\n"
	" for i = first, #ARGV do name(call('ZRANGE', held(ARGV[i]), 0, 63)) end\n"
	"end\n"
	"return { 0, call('ZRANK', line, who) + 1, ticket, owners }\n";

const char redis_slot_renew[] =
	/* lease; key ':' provider, who; … */
	"local t, lease = now(), int(ARGV[1])\n"
	"for i = 2, #ARGV, 2 do\n"
	" local h = P .. 'slot:' .. ARGV[i]\n"
	" call('ZADD', h, t + lease, ARGV[i + 1])\n"
	" call('PEXPIRE', h, 60000 + lease)\n"
	"end\n"
	"return 1\n";

const char redis_slot_done[] =
	/* provider, who, keys */
	"leave(ARGV[2])\n"
	"for i = 3, #ARGV do call('ZREM', held(ARGV[i]), ARGV[2]) end\n"
	"return 1\n";

const char redis_slot_bury[] =
	/* provider, MACHINE '/' PROCESS '/', keys */
	"for _, w in ipairs(call('ZRANGE', line, 0, -1)) do\n"
	" if is_of(w, ARGV[2]) then leave(w) end\n"
	"end\n"
	"for i = 3, #ARGV do\n"
	" for _, w in ipairs(call('ZRANGE', held(ARGV[i]), 0, -1)) do\n"
	"  if is_of(w, ARGV[2]) then call('ZREM', held(ARGV[i]), w) end\n"
	" end\n"
	"end\n"
	"return 1\n";

/* clang-format on */
