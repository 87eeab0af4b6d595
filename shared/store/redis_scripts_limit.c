/* The scripts of the limits, and what they share. */
#include "store/redis_scripts.h"

/* clang-format off */
const char redis_limit_prelude[] =
	"local DAY, MINUTE = 86400000, 60000000\n"
	"local function micros()\n"
	" local t = call('TIME')\n"
	" return t[1] * 1000000 + t[2]\n"
	"end\n"
	/* now in milliseconds, the day, how long it lasts still */
	"local function today(us)\n"
	" local ms = math.floor(us / 1000)\n"
	" return ms, math.floor(ms / DAY), DAY - ms % DAY\n"
	"end\n"
	"local function held(key) return P .. 'limit-held:' .. key end\n"
	"local function images(key, day) return P .. 'limit-images:' .. day .. ':' .. key end\n"
	"local function hold(key, member, till)\n"
	" call('ZADD', held(key), till, member)\n"
	" call('PEXPIREAT', held(key), int(call('ZREVRANGE', held(key), 0, 0, 'WITHSCORES')[2]) + 1)\n"
	"end\n";

/*
 * Gives { 0 let in, 1 too many requests, 2 too many at once; requests: remaining, reset; images:
 * remaining, reset; day; retry }.  Sent twice, one that is held is not counted again; without a limit of
 * what may be in hand it counts twice for the minute, which does less harm than an error.
 */
const char redis_limit_take[] =
	/* key, requests_per_minute, concurrent, images_per_day, member, lease */
	"local key, rpm, most, limit, member = ARGV[1], int(ARGV[2]), int(ARGV[3]), int(ARGV[4]), ARGV[5]\n"
	"local us = micros()\n"
	"local ms, day, left = today(us)\n"
	"local had = limit > 0 and int(call('HGET', images(key, day), 'n')) or 0\n"
	"local out = { 0, 0, 0, math.max(limit - had, 0), left, day, 0 }\n"
	"local again = most > 0 and call('ZSCORE', held(key), member)\n"
	"local full = false\n"
	"if most > 0 and not again then\n"
	" for _, m in ipairs(call('ZRANGEBYSCORE', held(key), '-inf', ms)) do call('ZREM', held(key), m) end\n"
	" full = call('ZCARD', held(key)) >= most\n"
	"end\n"
	"if rpm > 0 then\n"
	" local km, each = P .. 'limit-minute:' .. key, math.max(math.floor(MINUTE / rpm), 1)\n"
	" local room = each * rpm\n"
	" local used = int(call('GET', km)) - us\n"
	/* a clock that was set back */
	" if used < 0 or used > math.max(room, MINUTE) then used = 0 end\n"
	" used = math.min(used, room)\n"
	" out[2] = math.floor((room - used) / each)\n"
	" if not again and out[2] == 0 then\n"
	"  out[1], out[3], out[7] = 1, math.ceil(used / 1000), math.ceil((used + each - room) / 1000)\n"
	"  return out\n"
	" end\n"
	" if not again and not full then\n"
	"  used = used + each\n"
	"  out[2] = out[2] - 1\n"
	"  call('SET', km, string.format('%.0f', us + used), 'PXAT', math.floor((us + used) / 1000) + 1)\n"
	" end\n"
	" out[3] = math.ceil(used / 1000)\n"
	"end\n"
	"if full then\n"
	" out[1] = 2\n"
	" return out\n"
	"end\n"
	"if most > 0 then hold(key, member, ms + int(ARGV[6])) end\n"
	"return out\n";

/*
 * Gives { 0 taken, 1 too many; remaining, reset, day }.  What a request has stands under its own name, so
 * that it is counted once and given back once, however often that is sent.
 */
const char redis_limit_images[] =
	/* key, images_per_day, member, pictures, what it had, of which day */
	"local key, member, more = ARGV[1], ARGV[3], int(ARGV[4])\n"
	"local ms, day, left = today(micros())\n"
	"local k = images(key, day)\n"
	"local total = more\n"
	"if day == int(ARGV[6]) then total = more + int(ARGV[5]) end\n"
	"more = total - int(call('HGET', k, member))\n"
	"local free = math.max(int(ARGV[2]) - int(call('HGET', k, 'n')), 0)\n"
	"if more > free then return { 1, free, left, day } end\n"
	"call('HSET', k, member, total)\n"
	"call('HINCRBY', k, 'n', more)\n"
	/* an hour more, for those that began before midnight */
	"call('PEXPIREAT', k, (day + 1) * DAY + 3600000)\n"
	"return { 0, free - more, left, day }\n";

const char redis_limit_keep[] =
	/* key, member, lease */
	"local was = call('ZSCORE', held(ARGV[1]), ARGV[2])\n"
	"local till = today(micros()) + int(ARGV[3])\n"
	"if was and int(was) < till then hold(ARGV[1], ARGV[2], till) end\n"
	"return 1\n";

const char redis_limit_give[] =
	/* beginning of the members; for each: key, the member's end, day, pictures that came or -1 when it only leaves */
	"for i = 2, #ARGV, 4 do\n"
	" local member, came = ARGV[1] .. ARGV[i + 1], int(ARGV[i + 3])\n"
	" call('ZREM', held(ARGV[i]), member)\n"
	" if came >= 0 then\n"
	"  local k = images(ARGV[i], ARGV[i + 2])\n"
	"  local had = int(call('HGET', k, member))\n"
	"  call('HDEL', k, member)\n"
	"  if had > came then call('HINCRBY', k, 'n', came - had) end\n"
	" end\n"
	"end\n"
	"return 1\n";

const char redis_limit_holders[] =
	/* key, beginning of a machine's members; gives its processes */
	"local seen, out, head = {}, {}, ARGV[2]\n"
	"for _, m in ipairs(call('ZRANGE', held(ARGV[1]), 0, -1)) do\n"
	" local p = string.sub(m, 1, #head) == head and string.match(m, '^%x+', #head + 1)\n"
	" if p and not seen[p] then\n"
	"  seen[p] = true\n"
	"  out[#out + 1] = p\n"
	" end\n"
	"end\n"
	"return out\n";

const char redis_limit_bury[] =
	/* key, beginning of the members of one that is dead */
	"local n, head = 0, ARGV[2]\n"
	"for _, m in ipairs(call('ZRANGE', held(ARGV[1]), 0, -1)) do\n"
	" if string.sub(m, 1, #head) == head then n = n + call('ZREM', held(ARGV[1]), m) end\n"
	"end\n"
	"return n\n";
/* clang-format on */
