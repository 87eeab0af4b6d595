/* Sums, and the pictures that are kept. */
#include <stdio.h>

#include "store/redis_store.h"

static int
usage_sum(struct store *s, enum usage_by by, const char *since, const char *until,
	  void (*fn)(const struct usage_record *u, void *arg), void *arg, const struct deadline *d,
	  struct err *e)
{
	AUTO_REPLY reply = NULL;
	struct redis_args a;

	args_begin(&a, NULL);
	arg_i64(&a, by);
	arg_text(&a, since);
	arg_text(&a, until);
	reply = redis_eval(s, SCRIPT_USAGE_SUM, &a, d, e);
	if (!reply)
		return -1;
	for (size_t i = 0; answer_at(reply, i); i++) {
		const redisReply *row = answer_at(reply, i);
		struct usage_record u = { .requests = answer_i64(answer_at(row, 1)),
					  .pictures = answer_i64(answer_at(row, 2)),
					  .price_micro = answer_i64(answer_at(row, 3)) };
		char *name = by == USAGE_BY_KEY ? u.key_id : by == USAGE_BY_MODEL ? u.model : u.day;
		size_t size = by == USAGE_BY_KEY     ? sizeof(u.key_id)
			      : by == USAGE_BY_MODEL ? sizeof(u.model)
						     : sizeof(u.day);

		(void)snprintf(name, size, "%s", answer_text(answer_at(row, 0)));
		fn(&u, arg);
	}
	return 0;
}

/* ---- pictures ---- */

static int
picture_add(struct store *s, const struct picture_record *p, const struct usage_record *u,
	    const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t n;

	args_begin(&a, NULL);
	arg_text(&a, u->day);
	arg_text(&a, u->key_id);
	arg_text(&a, u->model);
	arg_i64(&a, u->requests);
	arg_i64(&a, u->pictures);
	arg_i64(&a, u->price_micro);
	arg_text(&a, p->id);
	arg_text(&a, p->owner);
	arg_i64(&a, p->created_ms);
	arg_i64(&a, p->bytes);
	arg_record(&a, &picture_fields, p);
	return redis_eval_i64(s, SCRIPT_PICTURE_ADD, &a, &n, d, e);
}

static int
picture_add_all(struct store *s, const struct picture_entry *v, size_t n, const struct deadline *d,
		struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (picture_add(s, &v[i].picture, &v[i].used, d, e) < 0)
			return -1;
	return 0;
}

static int
picture_get(struct store *s, const char *id, struct picture_record *out, bool *found,
	    const struct deadline *d, struct err *e)
{
	AUTO_REPLY reply = NULL;
	struct redis_args a;
	char name[96];

	(void)snprintf(name, sizeof(name), "easel:picture:%s", id);
	args_begin(&a, "HGETALL");
	arg_text(&a, name);
	reply = redis_run(redis_of(s), &a, d, e);
	if (!reply)
		return -1;
	*found = answer_at(reply, 0) != NULL;
	return *found ? answer_record(reply, 0, &picture_fields, out, e) : 0;
}

static int
picture_delete(struct store *s, const char *id, const char *owner, bool *found,
	       const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t n = 0;

	args_begin(&a, NULL);
	arg_text(&a, id);
	arg_text(&a, owner ? "1" : "0");
	arg_text(&a, owner);
	if (redis_eval_i64(s, SCRIPT_PICTURE_DELETE, &a, &n, d, e) < 0)
		return -1;
	*found = n != 0;
	return 0;
}

struct picture_fn {
	void (*fn)(const struct picture_record *p, void *arg);
	void *arg;
};

static void
call_picture(void *record, void *arg)
{
	const struct picture_fn *f = arg;

	f->fn(record, f->arg);
}

static int
picture_list(struct store *s, const struct picture_query *q,
	     void (*fn)(const struct picture_record *p, void *arg), void *arg,
	     const struct deadline *d, struct err *e)
{
	struct picture_fn f = { fn, arg };
	struct picture_record p;
	struct redis_list l = { "picture",       "pictures", q->owner,     q->after,
				"model",         q->model,   q->q,         q->limit,
				&picture_fields, &p,         call_picture, &f };

	return redis_list(s, &l, d, e);
}

static int
picture_prune(struct store *s, int64_t before_ms, int64_t max_bytes, size_t limit,
	      void (*fn)(const struct picture_record *p, void *arg), void *arg,
	      const struct deadline *d, struct err *e)
{
	for (size_t i = 0; i < limit; i++) {
		AUTO(picture_record) p = { 0 };
		struct redis_args a;
		bool found = false;

		args_begin(&a, NULL);
		a.once =
			true; /* an answer that was lost would be a file forgotten, and then one more */
		arg_i64(&a, before_ms);
		arg_i64(&a, max_bytes);
		if (redis_eval_record(s, SCRIPT_PICTURE_OLDEST, &a, &picture_fields, &p, &found, d,
				      e) < 0)
			return -1;
		if (!found)
			return 0;
		fn(&p, arg);
	}
	return 0;
}

const struct usage_driver redis_usage = {
	.usage_sum = usage_sum,
	.picture_add_all = picture_add_all,
	.picture_get = picture_get,
	.picture_delete = picture_delete,
	.picture_list = picture_list,
	.picture_prune = picture_prune,
};
