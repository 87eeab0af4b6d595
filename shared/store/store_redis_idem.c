/* Repeated requests. */
#include "store/redis_store.h"

static int
idem_begin(struct store *s, const struct idem_record *r, struct idem_record *other, bool *begun,
	   const struct deadline *d, struct err *e)
{
	struct redis_args a;
	char hex[65];
	bool is = false;

	redis_hex(r->hash, hex);
	args_begin(&a, NULL);
	arg_text(&a, r->owner);
	arg_text(&a, r->key);
	arg_text(&a, hex);
	arg_text(&a, r->request_id);
	arg_i64(&a, r->expires_ms);
	arg_record(&a, &idem_fields, r);
	if (redis_eval_record(s, SCRIPT_IDEM_BEGIN, &a, &idem_fields, other, &is, d, e) < 0)
		return -1;
	*begun = !is;
	return 0;
}

static int
find(struct store *s, enum redis_script_name how, const char *owner, const char *what,
     struct idem_record *out, bool *found, const struct deadline *d, struct err *e)
{
	struct redis_args a;

	args_begin(&a, NULL);
	arg_text(&a, owner);
	arg_text(&a, what);
	return redis_eval_record(s, how, &a, &idem_fields, out, found, d, e);
}

static int
idem_by_key(struct store *s, const char *owner, const char *key, struct idem_record *out,
	    bool *found, const struct deadline *d, struct err *e)
{
	*found = false;
	return *key ? find(s, SCRIPT_IDEM_BY_KEY, owner, key, out, found, d, e) : 0;
}

static int
idem_by_body(struct store *s, const char *owner, const unsigned char *hash, struct idem_record *out,
	     bool *found, const struct deadline *d, struct err *e)
{
	char hex[65];

	redis_hex(hash, hex);
	return find(s, SCRIPT_IDEM_BY_BODY, owner, hex, out, found, d, e);
}

static int
idem_task(struct store *s, const char *request_id, const char *task_id, bool *found,
	  const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t is = 0;

	args_begin(&a, NULL);
	arg_text(&a, request_id);
	arg_text(&a, "");
	arg_i64(&a, 0);
	arg_pair(&a, "task_id", task_id);
	if (redis_eval_i64(s, SCRIPT_IDEM_SET, &a, &is, d, e) < 0)
		return -1;
	*found = is != 0;
	return 0;
}

static int
idem_finish(struct store *s, const char *request_id, int64_t status, const char *answer,
	    int64_t expires_ms, bool *found, const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t is = 0;

	args_begin(&a, NULL);
	arg_text(&a, request_id);
	arg_text(&a, "done");
	arg_i64(&a, expires_ms);
	arg_pair(&a, "answer", answer);
	arg_text(&a, "status");
	arg_i64(&a, status);
	arg_pair(&a, "done", "1");
	if (redis_eval_i64(s, SCRIPT_IDEM_SET, &a, &is, d, e) < 0)
		return -1;
	*found = is != 0;
	return 0;
}

static int
idem_drop(struct store *s, const char *request_id, const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t n;

	args_begin(&a, NULL);
	arg_text(&a, request_id);
	return redis_eval_i64(s, SCRIPT_IDEM_DROP, &a, &n, d, e);
}

const struct idem_driver redis_idem = {
	.idem_begin = idem_begin,
	.idem_by_key = idem_by_key,
	.idem_by_body = idem_by_body,
	.idem_task = idem_task,
	.idem_finish = idem_finish,
	.idem_drop = idem_drop,
};
