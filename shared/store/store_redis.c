#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "store/redis_store.h"

/* ---- what the parts share ---- */

redisReply *
redis_eval(struct store *s, enum redis_script_name name, struct redis_args *a,
	   const struct deadline *d, struct err *e)
{
	const struct redis_script *script = redis_script(name);

	if (!script) {
		(void)err_set(e, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	return redis_script_run(redis_of(s), script, a, d, e);
}

int
redis_eval_i64(struct store *s, enum redis_script_name name, struct redis_args *a, int64_t *out,
	       const struct deadline *d, struct err *e)
{
	AUTO_REPLY reply = redis_eval(s, name, a, d, e);

	if (!reply)
		return -1;
	*out = answer_i64(reply);
	return 0;
}

int
redis_eval_record(struct store *s, enum redis_script_name name, struct redis_args *a,
		  const struct fields *f, void *out, bool *found, const struct deadline *d,
		  struct err *e)
{
	AUTO_REPLY reply = redis_eval(s, name, a, d, e);

	if (!reply)
		return -1;
	*found = answer_at(reply, 0) != NULL;
	return *found ? answer_record(reply, 0, f, out, e) : 0;
}

int
redis_each(struct store *s, const char *set, const char *prefix, bool up, size_t limit,
	   const struct fields *f, void *record, void (*fn)(const void *record, void *arg),
	   void *arg, const struct deadline *d, struct err *e)
{
	size_t done = 0, n = REDIS_PAGE;

	while (done < limit && n == REDIS_PAGE) {
		AUTO_REPLY reply = NULL;
		struct redis_args a;

		args_begin(&a, NULL);
		arg_text(&a, set);
		arg_text(&a, prefix);
		arg_text(&a, up ? "up" : "down");
		arg_i64(&a, (int64_t)done);
		arg_i64(&a, limit - done < REDIS_PAGE ? (int64_t)(limit - done) : REDIS_PAGE);
		reply = redis_eval(s, SCRIPT_EACH, &a, d, e);
		if (!reply)
			return -1;
		for (n = 0; answer_at(reply, n); n++) {
			if (answer_record(answer_at(reply, n), 0, f, record, e) < 0)
				return -1;
			fn(record, arg);
			fields_done(f, record);
		}
		done += n;
	}
	return 0;
}

/* The place of a record in its list; *found. */
static int
place_of(struct store *s, const char *kind, const char *id, char *out, size_t size, bool *found,
	 const struct deadline *d, struct err *e)
{
	AUTO_FREE char *key = NULL;
	AUTO_REPLY reply = NULL;
	struct redis_args a;

	if (asprintf(&key, "easel:%s:%s", kind, id) < 0) {
		key = NULL;
		return err_set(e, ERR_INTERNAL, "out of memory");
	}
	args_begin(&a, "HGET");
	arg_text(&a, key);
	arg_text(&a, "seq");
	reply = redis_run(redis_of(s), &a, d, e);
	if (!reply)
		return -1;
	*found = reply->type == REDIS_REPLY_STRING;
	(void)snprintf(out, size, "%s", answer_text(reply));
	return 0;
}

int
redis_list(struct store *s, const struct redis_list *l, const struct deadline *d, struct err *e)
{
	size_t left = l->limit;
	bool more = left > 0;
	char place[32] = "";

	if (l->after && place_of(s, l->kind, l->after, place, sizeof(place), &more, d, e) < 0)
		return -1;
	while (more && left > 0) {
		AUTO_REPLY reply = NULL;
		const redisReply *page;
		struct redis_args a;

		args_begin(&a, NULL);
		arg_text(&a, l->kind);
		arg_text(&a, l->set);
		arg_text(&a, l->owner);
		arg_text(&a, place);
		arg_text(&a, l->field);
		arg_text(&a, l->wanted);
		arg_text(&a, l->q);
		arg_i64(&a, left < REDIS_PAGE ? (int64_t)left : REDIS_PAGE);
		reply = redis_eval(s, SCRIPT_LIST, &a, d, e);
		if (!reply)
			return -1;
		page = answer_at(reply, 2);
		for (size_t i = 0; answer_at(page, i); i++, left--) {
			if (answer_record(answer_at(page, i), 0, l->fields, l->record, e) < 0)
				return -1;
			l->fn(l->record, l->arg);
			fields_done(l->fields, l->record);
		}
		(void)snprintf(place, sizeof(place), "%s", answer_text(answer_at(reply, 1)));
		/* A full page may be followed by another. */
		more = *place && (answer_i64(answer_at(reply, 0)) != 0 ||
				  (page && page->elements == REDIS_PAGE));
	}
	return 0;
}

void
redis_hex(const unsigned char hash[32], char out[65])
{
	for (size_t i = 0; i < 32; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

/* ---- opening ---- */

/* The value of one line of INFO, "" when it has none. */
static void
info_line(const char *info, const char *name, char *out, size_t size)
{
	size_t n = strlen(name);

	*out = '\0';
	for (const char *s = info; s && *s; s = strchr(s, '\n'), s = s ? s + 1 : NULL)
		if (!strncmp(s, name, n) && s[n] == ':') {
			(void)snprintf(out, size, "%.*s", (int)strcspn(s + n + 1, "\r\n"),
				       s + n + 1);
			return;
		}
}

static redisReply *
info(struct redis *r, const struct deadline *d, struct err *e)
{
	struct redis_args a;

	args_begin(&a, "INFO");
	return redis_run(r, &a, d, e);
}

/* What would make a promise of ours untrue. */
static int
check_server(struct redis *r, const struct deadline *d, struct err *e)
{
	AUTO_REPLY reply = info(r, d, e);
	char value[64];

	if (!reply)
		return -1;
	info_line(answer_text(reply), "maxmemory_policy", value, sizeof(value));
	if (*value && strcmp(value, "noeviction") != 0)
		return err_set(e, ERR_CONFIG,
			       "[store] url: this Redis has maxmemory-policy %s and would throw "
			       "tasks away when it is full; run CONFIG SET maxmemory-policy "
			       "noeviction, and set it in redis.conf.",
			       value);
	info_line(answer_text(reply), "role", value, sizeof(value));
	if (*value && strcmp(value, "master") != 0)
		return err_set(e, ERR_CONFIG,
			       "[store] url: this Redis is a replica; name its primary.");
	info_line(answer_text(reply), "cluster_enabled", value, sizeof(value));
	if (!strcmp(value, "1"))
		return err_set(e, ERR_CONFIG,
			       "[store] url: this Redis is part of a cluster; Easel needs one "
			       "primary that holds all of its keys.");
	return 0;
}

static int
check_schema(struct redis *r, bool migrate, const struct deadline *d, struct err *e)
{
	AUTO_REPLY got = NULL;
	AUTO_REPLY done = NULL;
	struct redis_args a;
	int64_t version;

	args_begin(&a, "GET");
	arg_text(&a, "easel:schema");
	got = redis_run(r, &a, d, e);
	if (!got)
		return -1;
	version = answer_i64(got);
	if (version > REDIS_SCHEMA) {
		(void)err_set(e, ERR_SCHEMA_TOO_NEW, "schema");
		(void)snprintf(e->expected, sizeof(e->expected), "%d", REDIS_SCHEMA);
		(void)snprintf(e->found, sizeof(e->found), "%lld", (long long)version);
		return -1;
	}
	if (version == REDIS_SCHEMA)
		return 0;
	if (!migrate)
		return err_set(e, ERR_SCHEMA_MISSING, "easel:schema");
	args_begin(&a, "SET");
	arg_text(&a, "easel:schema");
	arg_i64(&a, REDIS_SCHEMA);
	done = redis_run(r, &a, d, e);
	return done ? 0 : -1;
}

/* Of those that are always there when they are, what has another type than ours. */
static int
check_types(struct redis *r, const struct deadline *d, struct err *e)
{
	static const struct {
		const char *key, *type;
	} rows[] = {
		{ "easel:tasks", "zset" },    { "easel:lane:", "zset" },
		{ "easel:ready", "zset" },    { "easel:leases", "zset" },
		{ "easel:running", "hash" },  { "easel:counts", "hash" },
		{ "easel:expires", "zset" },  { "easel:callbacks", "zset" },
		{ "easel:keys", "zset" },     { "easel:jobs", "zset" },
		{ "easel:users", "zset" },    { "easel:usage-days", "zset" },
		{ "easel:pictures", "zset" }, { "easel:pictures-made", "zset" },
		{ "easel:seq", "string" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		AUTO_REPLY reply = NULL;
		struct redis_args a;

		args_begin(&a, "TYPE");
		arg_text(&a, rows[i].key);
		reply = redis_run(r, &a, d, e);
		if (!reply)
			return -1;
		if (strcmp(answer_text(reply), "none") != 0 &&
		    strcmp(answer_text(reply), rows[i].type) != 0)
			return err_set(e, ERR_SCHEMA_MISSING, "%s", rows[i].key);
	}
	return 0;
}

/* The queue's own sets follow from the tasks: those that are damaged are made anew. */
static int
mend(struct redis *r, const struct deadline *d, struct err *e)
{
	struct store s = { .self = r };
	AUTO_REPLY reply = NULL;
	struct redis_args a;

	args_begin(&a, "DEL");
	arg_text(&a, "easel:lane:");
	reply = redis_run(r, &a, d, e);
	if (!reply)
		return -1;
	freeReplyObject(TAKE_PTR(reply));
	args_begin(&a, NULL);
	reply = redis_eval(&s, SCRIPT_TASK_REBUILD, &a, d, e);
	return reply ? check_types(r, d, e) : -1;
}

static int
open_any(void **self, const char *rest, bool local, bool migrate, struct err *e)
{
	struct deadline d = deadline_in_ms(REDIS_COMMAND_MS);
	AUTO_PTR(redis) r = NULL;

	if (redis_new(&r, rest, local, e) < 0 || check_server(r, &d, e) < 0 ||
	    check_schema(r, migrate, &d, e) < 0)
		return -1;
	if (check_types(r, &d, e) < 0 &&
	    (!migrate || e->kind != ERR_SCHEMA_MISSING || mend(r, &d, e) < 0))
		return -1;
	*self = TAKE_PTR(r);
	return 0;
}

static int
open_tcp(void **self, const char *rest, const char *state_dir, bool migrate, struct err *e)
{
	(void)state_dir;
	return open_any(self, rest, false, migrate, e);
}

static int
open_local(void **self, const char *rest, const char *state_dir, bool migrate, struct err *e)
{
	(void)state_dir;
	return open_any(self, rest, true, migrate, e);
}

static void
close_any(void *self)
{
	redis_free(self);
}

static int
ping(struct store *s, const struct deadline *d, struct err *e)
{
	if (check_schema(redis_of(s), false, d, e) < 0)
		return -1;
	return check_types(redis_of(s), d, e);
}

static int
prune(struct store *s, size_t limit, uint64_t *removed, const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t n = 0;

	/* Sessions, idempotency records and failed logins have a time to live of their own. */
	args_begin(&a, NULL);
	arg_i64(&a, limit < 1000 ? (int64_t)limit : 1000);
	arg_i64(&a, STORE_GONE_MS);
	if (redis_eval_i64(s, SCRIPT_PRUNE, &a, &n, d, e) < 0)
		return -1;
	*removed = (uint64_t)n;
	return 0;
}

static int
remarks(struct store *s, void (*fn)(const char *sentence, void *arg), void *arg,
	const struct deadline *d, struct err *e)
{
	AUTO_REPLY reply = info(redis_of(s), d, e);
	char value[64];

	if (!reply)
		return -1;
	info_line(answer_text(reply), "aof_enabled", value, sizeof(value));
	if (!strcmp(value, "0"))
		fn("this Redis keeps no append-only file: what it acknowledged since its last "
		   "snapshot is lost when it ends; set 'appendonly yes' in redis.conf",
		   arg);
	info_line(answer_text(reply), "aof_last_write_status", value, sizeof(value));
	if (*value && strcmp(value, "ok") != 0)
		fn("this Redis could not write its append-only file: see its log", arg);
	return 0;
}

/* One driver, two ways to it. */
/* clang-format off */
#define DRIVER(name, how) { .scheme = (name), .open = (how), .close = close_any, .ping = ping, .prune = prune, \
	.remarks = remarks, .key = &redis_key, .task = &redis_task, .idem = &redis_idem, .user = &redis_user, \
	.usage = &redis_usage, .limit = &redis_limit, .slot = &redis_slot }
/* clang-format on */

const struct store_driver store_redis = DRIVER("redis", open_tcp);
const struct store_driver store_redis_unix = DRIVER("redis+unix", open_local);
