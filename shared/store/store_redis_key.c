/* Keys and jobs. */
#include "store/redis_store.h"

static int
key_add(struct store *s, const struct key_record *k, const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t added = 0;
	char hex[65];

	redis_hex(k->hash, hex);
	args_begin(&a, NULL);
	a.once = true; /* a second time it would be refused */
	arg_text(&a, k->id);
	arg_text(&a, hex);
	arg_i64(&a, k->created_ms);
	arg_record(&a, &key_fields, k);
	if (redis_eval_i64(s, SCRIPT_KEY_ADD, &a, &added, d, e) < 0)
		return -1;
	if (added)
		return 0;
	(void)err_set(e, ERR_STORE, "key");
	err_detail(e, "redis: there is a key of that id or hash");
	return -1;
}

static int
key_by_hash(struct store *s, const unsigned char hash[KEY_HASH_BYTES], struct key_record *out,
	    bool *found, const struct deadline *d, struct err *e)
{
	struct redis_args a;
	char hex[65];

	redis_hex(hash, hex);
	args_begin(&a, NULL);
	arg_text(&a, hex);
	return redis_eval_record(s, SCRIPT_KEY_GET, &a, &key_fields, out, found, d, e);
}

static int
key_revoke(struct store *s, const char *id_or_name, int64_t now_ms, bool *found,
	   const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t n = 0;

	args_begin(&a, NULL);
	arg_text(&a, id_or_name);
	arg_i64(&a, now_ms);
	if (redis_eval_i64(s, SCRIPT_KEY_REVOKE, &a, &n, d, e) < 0)
		return -1;
	*found = n > 0;
	return 0;
}

struct key_fn {
	void (*fn)(const struct key_record *k, void *arg);
	void *arg;
};

static void
call_key(const void *record, void *arg)
{
	const struct key_fn *f = arg;

	f->fn(record, f->arg);
}

static int
key_each(struct store *s, void (*fn)(const struct key_record *k, void *arg), void *arg,
	 const struct deadline *d, struct err *e)
{
	struct key_fn f = { fn, arg };
	struct key_record k;

	return redis_each(s, "keys", "key:", true, SIZE_MAX, &key_fields, &k, call_key, &f, d, e);
}

static int
job_add(struct store *s, const struct job_record *j, const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t added;

	args_begin(&a, NULL);
	arg_text(&a, j->id);
	arg_i64(&a, j->created_ms);
	arg_record(&a, &job_fields, j);
	return redis_eval_i64(s, SCRIPT_JOB_ADD, &a, &added, d, e);
}

struct job_fn {
	void (*fn)(const struct job_record *j, void *arg);
	void *arg;
};

static void
call_job(const void *record, void *arg)
{
	const struct job_fn *f = arg;

	f->fn(record, f->arg);
}

static int
job_each(struct store *s, size_t limit, void (*fn)(const struct job_record *j, void *arg),
	 void *arg, const struct deadline *d, struct err *e)
{
	struct job_fn f = { fn, arg };
	struct job_record j;

	return redis_each(s, "jobs", "job:", false, limit, &job_fields, &j, call_job, &f, d, e);
}

const struct key_driver redis_key = {
	.key_add = key_add,
	.key_by_hash = key_by_hash,
	.key_revoke = key_revoke,
	.key_each = key_each,
	.job_add = job_add,
	.job_each = job_each,
};
