/* Repeated requests. */
#include <stdio.h>

#include "store/redis_store.h"

#define POINTER_TEXT 400 /* "idem-key:OWNER:KEY" */

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
find(struct store *s, const char *pointer, struct idem_record *out, bool *found,
     const struct deadline *d, struct err *e)
{
	struct redis_args a;

	args_begin(&a, NULL);
	arg_text(&a, pointer);
	return redis_eval_record(s, SCRIPT_IDEM_FIND, &a, &idem_fields, out, found, d, e);
}

static int
idem_by_key(struct store *s, const char *owner, const char *key, struct idem_record *out,
	    bool *found, const struct deadline *d, struct err *e)
{
	char pointer[POINTER_TEXT];

	*found = false;
	if (!*key)
		return 0;
	(void)snprintf(pointer, sizeof(pointer), "idem-key:%s:%s", owner, key);
	return find(s, pointer, out, found, d, e);
}

static int
idem_by_body(struct store *s, const char *owner, const unsigned char *hash, struct idem_record *out,
	     bool *found, const struct deadline *d, struct err *e)
{
	char pointer[POINTER_TEXT], hex[65];

	redis_hex(hash, hex);
	(void)snprintf(pointer, sizeof(pointer), "idem-body:%s:%s", owner, hex);
	return find(s, pointer, out, found, d, e);
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
	arg_pair(&a, "task_id", task_id);
	if (redis_eval_i64(s, SCRIPT_IDEM_SET, &a, &is, d, e) < 0)
		return -1;
	*found = is != 0;
	return 0;
}

static int
idem_finish(struct store *s, const char *request_id, int64_t status, const char *answer,
	    bool *found, const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t is = 0;

	args_begin(&a, NULL);
	arg_text(&a, request_id);
	arg_text(&a, "done");
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
	AUTO(idem_record) r = { 0 };
	AUTO_REPLY reply = NULL;
	char name[64], by_key[POINTER_TEXT] = "", by_body[POINTER_TEXT], hex[65];
	struct redis_args a;
	int64_t n;

	(void)snprintf(name, sizeof(name), "easel:idem:%s", request_id);
	args_begin(&a, "HGETALL");
	arg_text(&a, name);
	reply = redis_run(redis_of(s), &a, d, e);
	if (!reply || answer_record(reply, 0, &idem_fields, &r, e) < 0)
		return -1;
	if (!*r.request_id)
		return 0;
	redis_hex(r.hash, hex);
	if (*r.key)
		(void)snprintf(by_key, sizeof(by_key), "idem-key:%s:%s", r.owner, r.key);
	(void)snprintf(by_body, sizeof(by_body), "idem-body:%s:%s", r.owner, hex);
	args_begin(&a, NULL);
	arg_text(&a, request_id);
	arg_text(&a, by_key);
	arg_text(&a, by_body);
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
