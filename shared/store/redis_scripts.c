#include "store/redis_scripts.h"

#include <pthread.h>
#include <sha1.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
static const char prelude[] =
	"local call, P = redis.call, 'easel:'\n"
	"local function now()\n"
	" local t = call('TIME')\n"
	" return t[1] * 1000 + math.floor(t[2] / 1000)\n"
	"end\n"
	"local function int(x) return tonumber(x) or 0 end\n"
	"local function rest(from)\n"
	" local t = {}\n"
	" for i = from, #ARGV do t[#t + 1] = ARGV[i] end\n"
	" return t\n"
	"end\n"
	"local function set(key, words) if #words > 0 then call('HSET', key, unpack(words)) end end\n";

const char redis_idem_prelude[] =
	"local function idem(owner, key, hash, id, expires, pairs)\n"
	" local kk, ki = P .. 'idem-key:' .. owner .. ':' .. key, P .. 'idem:' .. id\n"
	" if key ~= '' then\n"
	"  local was = call('GET', kk)\n"
	"  if was and was ~= id then\n"
	"   local h = call('HGETALL', P .. 'idem:' .. was)\n"
	"   if #h > 0 then return h end\n"
	"  end\n"
	" end\n"
	" if call('EXISTS', ki) == 1 then return nil end\n"
	" set(ki, pairs)\n"
	" call('PEXPIREAT', ki, expires)\n"
	" if key ~= '' then\n"
	"  call('SET', kk, id, 'PXAT', expires)\n"
	"  return nil\n"
	" end\n"
	" local ks = P .. 'idem-same:' .. owner .. ':' .. hash\n"
	" call('HSET', ki, 'same', ks)\n"
	" for _, was in ipairs(call('ZRANGEBYSCORE', ks, '-inf', now(), 'LIMIT', 0, 8)) do call('ZREM', ks, was) end\n"
	" call('ZADD', ks, expires, id)\n"
	" call('PEXPIREAT', ks, call('ZREVRANGE', ks, 0, 0, 'WITHSCORES')[2])\n"
	" return nil\n"
	"end\n";

static const char picture_prelude[] =
	"local function remove(id)\n"
	" local k = P .. 'picture:' .. id\n"
	" local h = call('HMGET', k, 'owner', 'seq', 'bytes')\n"
	" call('ZREM', P .. 'pictures', id)\n"
	" call('ZREM', P .. 'pictures:' .. (h[1] or ''), id)\n"
	" call('ZREM', P .. 'pictures-made', (h[2] or '') .. id)\n"
	" call('DECRBY', P .. 'picture-bytes', int(h[3]))\n"
	" call('DEL', k)\n"
	"end\n";

static const char key_add[] =
	/* id, hash, created, pairs */
	"if call('EXISTS', P .. 'key:' .. ARGV[1]) == 1 or call('EXISTS', P .. 'key-hash:' .. ARGV[2]) == 1 then return 0 end\n"
	"set(P .. 'key:' .. ARGV[1], rest(4))\n"
	"call('SET', P .. 'key-hash:' .. ARGV[2], ARGV[1])\n"
	"call('ZADD', P .. 'keys', ARGV[3], string.format('%015d', call('INCR', P .. 'seq')) .. ARGV[1])\n"
	"return 1\n";

static const char key_get[] =
	/* hash */
	"local id = call('GET', P .. 'key-hash:' .. ARGV[1])\n"
	"return id and call('HGETALL', P .. 'key:' .. id) or {}\n";

static const char key_revoke[] =
	/* id or name, now */
	"local n = 0\n"
	"for _, m in ipairs(call('ZRANGE', P .. 'keys', 0, -1)) do\n"
	" local id = string.sub(m, 16)\n"
	" local h = call('HMGET', P .. 'key:' .. id, 'name', 'revoked_ms')\n"
	" if (id == ARGV[1] or h[1] == ARGV[1]) and int(h[2]) == 0 then\n"
	"  call('HSET', P .. 'key:' .. id, 'revoked_ms', ARGV[2])\n"
	"  n = n + 1\n"
	" end\n"
	"end\n"
	"return n\n";

static const char job_add[] =
	/* id, created, pairs */
	"if call('EXISTS', P .. 'job:' .. ARGV[1]) == 1 then return 0 end\n"
	"set(P .. 'job:' .. ARGV[1], rest(3))\n"
	"call('ZADD', P .. 'jobs', ARGV[2], string.format('%015d', call('INCR', P .. 'seq')) .. ARGV[1])\n"
	"return 1\n";

static const char each[] =
	/* zset, prefix of the records, 'up' or 'down', skip, at most */
	"local out, most = {}, int(ARGV[5])\n"
	"local ms = call(ARGV[3] == 'up' and 'ZRANGE' or 'ZREVRANGE', P .. ARGV[1], ARGV[4], ARGV[4] + most - 1)\n"
	"for i, m in ipairs(ms) do out[i] = call('HGETALL', P .. ARGV[2] .. string.sub(m, 16)) end\n"
	"return out\n";

static const char list[] =
	/* kind, set of all, owner or '', place of the last page's end or '', field, wanted or '', q or '', at most */
	"local kind, most, out = ARGV[1], int(ARGV[8]), {}\n"
	"local key = P .. ARGV[2] .. (ARGV[3] ~= '' and ':' .. ARGV[3] or '')\n"
	"local from, q = ARGV[4] == '' and '+inf' or '(' .. ARGV[4], string.lower(ARGV[7])\n"
	"local ids = call('ZREVRANGEBYSCORE', key, from, '-inf', 'LIMIT', 0, 500)\n"
	"local seq = ''\n"
	"for _, id in ipairs(ids) do\n"
	" local k = P .. kind .. ':' .. id\n"
	" seq = call('ZSCORE', key, id)\n"
	" local fits = ARGV[6] == '' or (call('HGET', k, ARGV[5]) or '') == ARGV[6]\n"
	" if fits and q ~= '' then\n"
	"  fits = string.find(string.lower(call('HGET', k, 'prompt') or ''), q, 1, true) ~= nil\n"
	" end\n"
	" if fits then\n"
	"  local h = call('HGETALL', k)\n"
	"  if #h > 0 then out[#out + 1] = h end\n"
	"  if #out >= most then return { 0, seq, out } end\n"
	" end\n"
	"end\n"
	"return { #ids == 500 and 1 or 0, seq, out }\n";

static const char idem_begin[] =
	/* owner, key, hash, request, expires, pairs */
	"return idem(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], rest(6)) or {}\n";

static const char idem_by_key[] =
	/* owner, key */
	"local id = call('GET', P .. 'idem-key:' .. ARGV[1] .. ':' .. ARGV[2])\n"
	"return id and call('HGETALL', P .. 'idem:' .. id) or {}\n";

static const char idem_by_body[] =
	/* owner, hash */
	"local ks = P .. 'idem-same:' .. ARGV[1] .. ':' .. ARGV[2]\n"
	"local id = call('ZREVRANGEBYSCORE', ks, '+inf', '(' .. now(), 'LIMIT', 0, 1)[1]\n"
	"return id and call('HGETALL', P .. 'idem:' .. id) or {}\n";

static const char idem_set[] =
	/* request, 'done' or '', when it shall have expired or 0, pairs */
	"local k, at = P .. 'idem:' .. ARGV[1], int(ARGV[3])\n"
	"local h = call('HMGET', k, 'done', 'expires_ms', 'same')\n"
	"if not h[2] then return 0 end\n"
	"if ARGV[2] == '' or int(h[1]) == 0 then set(k, rest(4)) end\n"
	"if at > 0 and at < int(h[2]) then\n"
	" call('HSET', k, 'expires_ms', ARGV[3])\n"
	" call('PEXPIREAT', k, ARGV[3])\n"
	" if h[3] then call('ZADD', h[3], ARGV[3], ARGV[1]) end\n"
	"end\n"
	"return 1\n";

static const char idem_drop[] =
	/* request */
	"local k = P .. 'idem:' .. ARGV[1]\n"
	"local h = call('HMGET', k, 'owner', 'key', 'same')\n"
	"local kk = P .. 'idem-key:' .. (h[1] or '') .. ':' .. (h[2] or '')\n"
	"if h[2] and call('GET', kk) == ARGV[1] then call('DEL', kk) end\n"
	"if h[3] then call('ZREM', h[3], ARGV[1]) end\n"
	"return call('DEL', k)\n";

static const char user_add[] =
	/* id, email, created, pairs */
	"local ke = P .. 'user-email:' .. ARGV[2]\n"
	"if call('EXISTS', P .. 'user:' .. ARGV[1]) == 1 or call('EXISTS', ke) == 1 then return 0 end\n"
	"set(P .. 'user:' .. ARGV[1], rest(4))\n"
	"call('SET', ke, ARGV[1])\n"
	"call('ZADD', P .. 'users', ARGV[3], string.format('%015d', call('INCR', P .. 'seq')) .. ARGV[1])\n"
	"return 1\n";

static const char user_get[] =
	/* email */
	"local id = call('GET', P .. 'user-email:' .. ARGV[1])\n"
	"return id and call('HGETALL', P .. 'user:' .. id) or {}\n";

static const char user_set[] =
	/* id, pairs */
	"local id = ARGV[1]\n"
	"for _, s in ipairs(call('SMEMBERS', P .. 'user-sessions:' .. id)) do call('DEL', P .. 'session:' .. s) end\n"
	"call('DEL', P .. 'user-sessions:' .. id)\n"
	"if call('EXISTS', P .. 'user:' .. id) == 0 then return 0 end\n"
	"set(P .. 'user:' .. id, rest(2))\n"
	"return 1\n";

static const char session_add[] =
	/* hash, user, expires, pairs */
	"local k = P .. 'session:' .. ARGV[1]\n"
	"if call('EXISTS', k) == 1 then return 0 end\n"
	"set(k, rest(4))\n"
	"call('PEXPIREAT', k, ARGV[3])\n"
	"local ks = P .. 'user-sessions:' .. ARGV[2]\n"
	"for _, s in ipairs(call('SRANDMEMBER', ks, 8)) do\n"
	" if call('EXISTS', P .. 'session:' .. s) == 0 then call('SREM', ks, s) end\n"
	"end\n"
	"call('SADD', ks, ARGV[1])\n"
	"return 1\n";

static const char session_get[] =
	/* hash */
	"local h = call('HGETALL', P .. 'session:' .. ARGV[1])\n"
	"if #h == 0 then return {} end\n"
	"local u = call('HGETALL', P .. 'user:' .. call('HGET', P .. 'session:' .. ARGV[1], 'user_id'))\n"
	"if #u == 0 then return {} end\n"
	"return { h, u }\n";

static const char session_revoke[] =
	/* hash, now */
	"local k = P .. 'session:' .. ARGV[1]\n"
	"if call('EXISTS', k) == 0 or int(call('HGET', k, 'revoked_ms')) ~= 0 then return 0 end\n"
	"call('HSET', k, 'revoked_ms', ARGV[2])\n"
	"return 1\n";

static const char lockout_fail[] =
	/* subject, now, free, first, max, forget */
	"local k, t = P .. 'lockout:' .. ARGV[1], int(ARGV[2])\n"
	"local h = call('HMGET', k, 'count', 'forget_at_ms')\n"
	"local count, ms, till = 1, int(ARGV[4]), 0\n"
	"if int(h[2]) > t then count = int(h[1]) + 1 end\n"
	"local beyond = count - int(ARGV[3])\n"
	"if beyond > 0 then\n"
	" while beyond > 1 and ms < int(ARGV[5]) do\n"
	"  beyond = beyond - 1\n"
	"  ms = ms * 2\n"
	" end\n"
	" till = t + math.min(ms, int(ARGV[5]))\n"
	"end\n"
	"local forget = math.max(till, t) + int(ARGV[6])\n"
	"call('HSET', k, 'count', count, 'until_ms', till, 'forget_at_ms', forget)\n"
	"call('PEXPIRE', k, math.max(forget - t, 1))\n"
	"return { count, till }\n";

static const char usage_prelude[] =
	/* day, key, model, requests, pictures, price */
	"local function use()\n"
	" local k = P .. 'usage:' .. ARGV[1]\n"
	" call('ZADD', P .. 'usage-days', 0, ARGV[1])\n"
	" for i, what in ipairs({ 'r', 'p', 'm' }) do\n"
	"  call('HINCRBY', k, what .. cjson.encode({ ARGV[2], ARGV[3] }), ARGV[3 + i])\n"
	" end\n"
	"end\n";

static const char usage_sum[] =
	/* 0 key, 1 model, 2 day; since, until */
	"local sums, names, out = {}, {}, {}\n"
	"local days = call('ZRANGEBYLEX', P .. 'usage-days', ARGV[2] == '' and '-' or '[' .. ARGV[2],\n"
	" ARGV[3] == '' and '+' or '[' .. ARGV[3])\n"
	"for _, day in ipairs(days) do\n"
	" local h = call('HGETALL', P .. 'usage:' .. day)\n"
	" for i = 1, #h, 2 do\n"
	"  local kind, who = string.sub(h[i], 1, 1), cjson.decode(string.sub(h[i], 2))\n"
	"  local name = ARGV[1] == '0' and who[1] or ARGV[1] == '1' and who[2] or day\n"
	"  if not sums[name] then\n"
	"   sums[name] = { r = 0, p = 0, m = 0 }\n"
	"   names[#names + 1] = name\n"
	"  end\n"
	"  sums[name][kind] = sums[name][kind] + int(h[i + 1])\n"
	" end\n"
	"end\n"
	"table.sort(names)\n"
	"for i, name in ipairs(names) do out[i] = { name, sums[name].r, sums[name].p, sums[name].m } end\n"
	"return out\n";

static const char picture_add[] =
	/* day, key, model, requests, pictures, price, day "": nothing was used; id, owner, created, bytes, pairs */
	"local id = ARGV[7]\n"
	"local k = P .. 'picture:' .. id\n"
	"if call('EXISTS', k) == 1 then return 0 end\n"
	/* its place: by the time it was made, and of those of the same millisecond as they came */
	"local seq = string.format('%016.0f', int(ARGV[9]) * 1000 + call('INCR', P .. 'seq') % 1000)\n"
	"set(k, rest(11))\n"
	"call('HSET', k, 'seq', seq)\n"
	"call('ZADD', P .. 'pictures', seq, id)\n"
	"call('ZADD', P .. 'pictures:' .. ARGV[8], seq, id)\n"
	"call('ZADD', P .. 'pictures-made', ARGV[9], seq .. id)\n"
	"call('INCRBY', P .. 'picture-bytes', ARGV[10])\n"
	"if ARGV[1] ~= '' then use() end\n"
	"return 1\n";

static const char picture_delete[] =
	/* id, 1 when the owner matters, owner */
	"local h = call('HMGET', P .. 'picture:' .. ARGV[1], 'owner', 'seq')\n"
	"if not h[2] or (ARGV[2] == '1' and h[1] ~= ARGV[3]) then return 0 end\n"
	"remove(ARGV[1])\n"
	"return 1\n";

static const char picture_oldest[] =
	/* before, most bytes */
	"local m = call('ZRANGE', P .. 'pictures-made', 0, 0, 'WITHSCORES')\n"
	"if not m[1] then return {} end\n"
	"local most, id = int(ARGV[2]), string.sub(m[1], 17)\n"
	"if int(m[2]) >= int(ARGV[1]) and (most == 0 or int(call('GET', P .. 'picture-bytes')) <= most) then return {} end\n"
	"local h = call('HGETALL', P .. 'picture:' .. id)\n"
	"remove(id)\n"
	"return h\n";

/* clang-format on */

static const struct {
	const char *more, *again, *body;
} parts[SCRIPT__MAX] = {
	[SCRIPT_KEY_ADD] = { NULL, NULL, key_add },
	[SCRIPT_KEY_GET] = { NULL, NULL, key_get },
	[SCRIPT_KEY_REVOKE] = { NULL, NULL, key_revoke },
	[SCRIPT_JOB_ADD] = { NULL, NULL, job_add },
	[SCRIPT_EACH] = { NULL, NULL, each },
	[SCRIPT_TASK_ADD] = { redis_task_prelude, redis_idem_prelude, redis_task_add },
	[SCRIPT_TASK_GET] = { redis_task_prelude, NULL, redis_task_get },
	[SCRIPT_TASK_CLAIM] = { redis_task_prelude, NULL, redis_task_claim },
	[SCRIPT_TASK_RENEW] = { redis_task_prelude, NULL, redis_task_renew },
	[SCRIPT_TASK_ADVANCE] = { redis_task_prelude, NULL, redis_task_advance },
	[SCRIPT_TASK_FINISH] = { redis_task_prelude, NULL, redis_task_finish },
	[SCRIPT_TASK_REQUEUE] = { redis_task_prelude, NULL, redis_task_requeue },
	[SCRIPT_TASK_CANCEL] = { redis_task_prelude, NULL, redis_task_cancel },
	[SCRIPT_TASK_POSITION] = { NULL, NULL, redis_task_position },
	[SCRIPT_TASK_CALLBACK] = { redis_task_prelude, NULL, redis_task_callback },
	[SCRIPT_TASK_CALLBACK_DONE] = { redis_task_prelude, NULL, redis_task_callback_done },
	[SCRIPT_LIST] = { NULL, NULL, list },
	[SCRIPT_PRUNE] = { redis_task_prelude, NULL, redis_prune },
	[SCRIPT_TASK_REBUILD] = { redis_task_prelude, NULL, redis_task_rebuild },
	[SCRIPT_IDEM_BEGIN] = { redis_idem_prelude, NULL, idem_begin },
	[SCRIPT_IDEM_BY_KEY] = { NULL, NULL, idem_by_key },
	[SCRIPT_IDEM_BY_BODY] = { NULL, NULL, idem_by_body },
	[SCRIPT_IDEM_SET] = { NULL, NULL, idem_set },
	[SCRIPT_IDEM_DROP] = { NULL, NULL, idem_drop },
	[SCRIPT_USER_ADD] = { NULL, NULL, user_add },
	[SCRIPT_USER_GET] = { NULL, NULL, user_get },
	[SCRIPT_USER_SET] = { NULL, NULL, user_set },
	[SCRIPT_SESSION_ADD] = { NULL, NULL, session_add },
	[SCRIPT_SESSION_GET] = { NULL, NULL, session_get },
	[SCRIPT_SESSION_REVOKE] = { NULL, NULL, session_revoke },
	[SCRIPT_LOCKOUT_FAIL] = { NULL, NULL, lockout_fail },
	[SCRIPT_USAGE_SUM] = { NULL, NULL, usage_sum },
	[SCRIPT_PICTURE_ADD] = { usage_prelude, NULL, picture_add },
	[SCRIPT_PICTURE_DELETE] = { picture_prelude, NULL, picture_delete },
	[SCRIPT_PICTURE_OLDEST] = { picture_prelude, NULL, picture_oldest },
	[SCRIPT_LIMIT_TAKE] = { redis_limit_prelude, NULL, redis_limit_take },
	[SCRIPT_LIMIT_IMAGES] = { redis_limit_prelude, NULL, redis_limit_images },
	[SCRIPT_LIMIT_KEEP] = { redis_limit_prelude, NULL, redis_limit_keep },
	[SCRIPT_LIMIT_GIVE] = { redis_limit_prelude, NULL, redis_limit_give },
	[SCRIPT_LIMIT_HOLDERS] = { redis_limit_prelude, NULL, redis_limit_holders },
	[SCRIPT_LIMIT_BURY] = { redis_limit_prelude, NULL, redis_limit_bury },
	[SCRIPT_SLOT_TAKE] = { redis_slot_prelude, NULL, redis_slot_take },
	[SCRIPT_SLOT_RENEW] = { NULL, NULL, redis_slot_renew },
	[SCRIPT_SLOT_DONE] = { redis_slot_prelude, NULL, redis_slot_done },
	[SCRIPT_SLOT_BURY] = { redis_slot_prelude, NULL, redis_slot_bury },
};

static struct redis_script scripts[SCRIPT__MAX];
static bool made;

/* Once a process; they stay. */
static void
make_all(void)
{
	for (int i = 0; i < SCRIPT__MAX; i++) {
		struct redis_script *s = &scripts[i];

		if (asprintf(&s->text, "%s%s%s%s", prelude, parts[i].more ? parts[i].more : "",
			     parts[i].again ? parts[i].again : "", parts[i].body) < 0) {
			s->text = NULL;
			return;
		}
		/*
		 * The name that Redis gives a script, https://redis.io/commands/script-load; not by OpenSSL,
		 * which programs that call nobody do without (half a megabyte each).
		 */
		(void)SHA1Data((const uint8_t *)s->text, strlen(s->text), s->sha);
	}
	made = true;
}

const struct redis_script *
redis_script(enum redis_script_name name)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, make_all);
	return made ? &scripts[name] : NULL;
}
