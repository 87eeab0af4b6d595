/* Users, sessions, failed logins. */
#include <stdio.h>

#include "store/redis_store.h"

static int
user_add(struct store *s, const struct user_record *u, bool *added, const struct deadline *d,
	 struct err *e)
{
	struct redis_args a;
	int64_t is = 0;

	args_begin(&a, NULL);
	a.once = true;
	arg_text(&a, u->id);
	arg_text(&a, u->email);
	arg_i64(&a, u->created_ms);
	arg_record(&a, &user_fields, u);
	if (redis_eval_i64(s, SCRIPT_USER_ADD, &a, &is, d, e) < 0)
		return -1;
	*added = is != 0;
	return 0;
}

static int
user_by_email(struct store *s, const char *email, struct user_record *out, bool *found,
	      const struct deadline *d, struct err *e)
{
	struct redis_args a;

	args_begin(&a, NULL);
	arg_text(&a, email);
	return redis_eval_record(s, SCRIPT_USER_GET, &a, &user_fields, out, found, d, e);
}

static int
user_by_id(struct store *s, const char *id, struct user_record *out, bool *found,
	   const struct deadline *d, struct err *e)
{
	AUTO_REPLY reply = NULL;
	struct redis_args a;
	char name[64];

	(void)snprintf(name, sizeof(name), "easel:user:%s", id);
	args_begin(&a, "HGETALL");
	arg_text(&a, name);
	reply = redis_run(redis_of(s), &a, d, e);
	if (!reply)
		return -1;
	*found = answer_at(reply, 0) != NULL;
	return *found ? answer_record(reply, 0, &user_fields, out, e) : 0;
}

static int
user_set(struct store *s, const struct user_record *u, bool *found, const struct deadline *d,
	 struct err *e)
{
	struct redis_args a;
	int64_t is = 0;

	args_begin(&a, NULL);
	arg_text(&a, u->id);
	arg_text(&a, "role");
	arg_i64(&a, u->role);
	arg_text(&a, "password");
	arg_text(&a, u->password);
	arg_text(&a, "disabled");
	arg_i64(&a, u->disabled);
	if (redis_eval_i64(s, SCRIPT_USER_SET, &a, &is, d, e) < 0)
		return -1;
	*found = is != 0;
	return 0;
}

struct user_fn {
	void (*fn)(const struct user_record *u, void *arg);
	void *arg;
};

static void
call_user(const void *record, void *arg)
{
	const struct user_fn *f = arg;

	f->fn(record, f->arg);
}

static int
user_each(struct store *s, void (*fn)(const struct user_record *u, void *arg), void *arg,
	  const struct deadline *d, struct err *e)
{
	struct user_fn f = { fn, arg };
	struct user_record u;

	return redis_each(s, "users", "user:", true, SIZE_MAX, &user_fields, &u, call_user, &f, d,
			  e);
}

/* ---- sessions ---- */

static int
session_add(struct store *s, const struct session_record *r, const struct deadline *d,
	    struct err *e)
{
	struct redis_args a;
	char hex[65];
	int64_t n;

	redis_hex(r->hash, hex);
	args_begin(&a, NULL);
	arg_text(&a, hex);
	arg_text(&a, r->user_id);
	arg_i64(&a, r->expires_ms);
	arg_record(&a, &session_fields, r);
	return redis_eval_i64(s, SCRIPT_SESSION_ADD, &a, &n, d, e);
}

static int
session_get(struct store *s, const unsigned char hash[SESSION_HASH_BYTES],
	    struct session_record *out, struct user_record *user, bool *found,
	    const struct deadline *d, struct err *e)
{
	AUTO_REPLY reply = NULL;
	struct redis_args a;
	char hex[65];

	redis_hex(hash, hex);
	args_begin(&a, NULL);
	arg_text(&a, hex);
	reply = redis_eval(s, SCRIPT_SESSION_GET, &a, d, e);
	if (!reply)
		return -1;
	*found = answer_at(reply, 1) != NULL;
	if (!*found)
		return 0;
	return answer_record(answer_at(reply, 0), 0, &session_fields, out, e) < 0 ||
			       answer_record(answer_at(reply, 1), 0, &user_fields, user, e) < 0
		       ? -1
		       : 0;
}

static int
session_revoke(struct store *s, const unsigned char hash[SESSION_HASH_BYTES], int64_t now_ms,
	       bool *found, const struct deadline *d, struct err *e)
{
	struct redis_args a;
	char hex[65];
	int64_t n = 0;

	redis_hex(hash, hex);
	args_begin(&a, NULL);
	arg_text(&a, hex);
	arg_i64(&a, now_ms);
	if (redis_eval_i64(s, SCRIPT_SESSION_REVOKE, &a, &n, d, e) < 0)
		return -1;
	*found = n != 0;
	return 0;
}

/* ---- failed logins ---- */

static int
lockout_fail(struct store *s, const char *subject, const struct lockout_rule *rule, int64_t now_ms,
	     struct lockout *out, const struct deadline *d, struct err *e)
{
	AUTO_REPLY reply = NULL;
	struct redis_args a;

	args_begin(&a, NULL);
	a.once = true;
	arg_text(&a, subject);
	arg_i64(&a, now_ms);
	arg_i64(&a, rule->free);
	arg_i64(&a, rule->first_ms);
	arg_i64(&a, rule->max_ms);
	arg_i64(&a, rule->forget_ms);
	reply = redis_eval(s, SCRIPT_LOCKOUT_FAIL, &a, d, e);
	if (!reply)
		return -1;
	*out = (struct lockout){ answer_i64(answer_at(reply, 0)), answer_i64(answer_at(reply, 1)) };
	return 0;
}

static int
lockout_name(char *out, size_t size, const char *subject)
{
	return snprintf(out, size, "easel:lockout:%s", subject);
}

static int
lockout_get(struct store *s, const char *subject, int64_t now_ms, struct lockout *out,
	    const struct deadline *d, struct err *e)
{
	char name[LOCKOUT_TEXT + 32];
	AUTO_REPLY reply = NULL;
	struct redis_args a;

	*out = (struct lockout){ 0 };
	(void)lockout_name(name, sizeof(name), subject);
	args_begin(&a, "HMGET");
	arg_text(&a, name);
	arg_text(&a, "count");
	arg_text(&a, "until_ms");
	arg_text(&a, "forget_at_ms");
	reply = redis_run(redis_of(s), &a, d, e);
	if (!reply)
		return -1;
	if (answer_i64(answer_at(reply, 2)) > now_ms)
		*out = (struct lockout){ answer_i64(answer_at(reply, 0)),
					 answer_i64(answer_at(reply, 1)) };
	return 0;
}

static int
lockout_clear(struct store *s, const char *subject, const struct deadline *d, struct err *e)
{
	char name[LOCKOUT_TEXT + 32];
	AUTO_REPLY reply = NULL;
	struct redis_args a;

	(void)lockout_name(name, sizeof(name), subject);
	args_begin(&a, "DEL");
	arg_text(&a, name);
	reply = redis_run(redis_of(s), &a, d, e);
	return reply ? 0 : -1;
}

const struct user_driver redis_user = {
	.user_add = user_add,
	.user_by_email = user_by_email,
	.user_by_id = user_by_id,
	.user_set = user_set,
	.user_each = user_each,
	.session_add = session_add,
	.session_get = session_get,
	.session_revoke = session_revoke,
	.lockout_fail = lockout_fail,
	.lockout_get = lockout_get,
	.lockout_clear = lockout_clear,
};
