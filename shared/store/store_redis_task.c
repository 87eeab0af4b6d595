/* Tasks.  What happens at once is in redis_scripts_task.c. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "store/redis_store.h"
#include "store/task_prepare.h"

#define TASK_KEY    "easel:task:"
#define LANE_KEY    "easel:lane:"
#define TASK_ID_MAX 63   /* none is as long */
#define LOOK_MS     1000 /* for one look while something is waited for */

static void
arg_idem(struct redis_args *a, const struct idem_record *r)
{
	int at = a->n, from;
	char hex[65];

	arg_i64(a, 0); /* how many words: known below */
	from = a->n;
	if (!r)
		return;
	redis_hex(r->hash, hex);
	arg_text(a, r->owner);
	arg_text(a, r->key);
	(void)snprintf(a->text, sizeof(a->text), "%s", hex);
	arg_text(a, a->text);
	arg_text(a, r->request_id);
	arg_i64(a, r->expires_ms);
	arg_record(a, &idem_fields, r);
	(void)snprintf((char *)a->v[at], sizeof(a->number[0]), "%d", a->n - from);
	a->len[at] = strlen(a->v[at]);
}

static int
task_add(struct store *s, const struct task_record *t, const struct task_add *how,
	 struct idem_record *other, bool *added, const struct deadline *d, struct err *e)
{
	static const struct task_add plain;
	struct task_record copy = *t;
	AUTO_REPLY reply = NULL;
	struct redis_args a;

	if (!how)
		how = &plain;
	/* The server's clock says when now is. */
	task_prepare(&copy, how, 0);
	copy.lease_until_ms = 0;
	args_begin(&a, NULL);
	arg_text(&a, copy.id);
	arg_text(&a, copy.owner);
	arg_text(&a, copy.lane);
	arg_i64(&a, copy.status);
	arg_i64(&a, copy.due_ms);
	arg_i64(&a, how->lease_ms);
	arg_i64(&a, (int64_t)how->queue_length);
	arg_idem(&a, how->idem);
	if (copy.status == TASK_STARTED && !copy.started_ms)
		copy.started_ms = clock_wall_ms();
	arg_record(&a, &task_fields, &copy);
	reply = redis_eval(s, SCRIPT_TASK_ADD, &a, d, e);
	if (!reply)
		return -1;
	if (answer_i64(answer_at(reply, 0)) == 2)
		return err_set(e, ERR_RATE_LIMITED, "the queue is full");
	*added = answer_i64(answer_at(reply, 0)) == 1;
	return *added ? 0 : answer_record(answer_at(reply, 1), 0, &idem_fields, other, e);
}

static void
without_secret(struct task_record *t)
{
	if (t->secret.p)
		explicit_bzero(t->secret.p, t->secret.len);
	free(t->secret.p);
	t->secret = (struct store_bytes){ 0 };
}

/* Without a script, which would turn every field into Lua's and back: who waits for a task asks often. */
static int
task_get_plainly(struct store *s, const char *id, struct task_record *out, bool *found,
		 const struct deadline *d, struct err *e)
{
	AUTO_REPLY reply = NULL;
	char key[sizeof(TASK_KEY) + TASK_ID_MAX];
	struct redis_args a;

	*found = false;
	if (strlen(id) > TASK_ID_MAX)
		return 0;
	(void)snprintf(key, sizeof(key), "%s%s", TASK_KEY, id);
	args_begin(&a, "HGETALL");
	arg_text(&a, key);
	reply = redis_run(redis_of(s), &a, d, e);
	if (!reply)
		return -1;
	if (!reply->elements)
		return 0;
	*found = true;
	if (answer_record(reply, 0, &task_fields, out, e) < 0)
		return -1;
	without_secret(out);
	return 0;
}

static int
task_get(struct store *s, const char *id, struct task_record *out, bool *found,
	 const struct deadline *d, struct err *e)
{
	AUTO_REPLY reply = NULL;
	struct redis_args a;
	int64_t kind;

	if (task_get_plainly(s, id, out, found, d, e) < 0)
		return -1;
	if (*found)
		return 0;
	args_begin(&a, NULL);
	arg_text(&a, id);
	reply = redis_eval(s, SCRIPT_TASK_GET, &a, d, e);
	if (!reply)
		return -1;
	kind = answer_i64(answer_at(reply, 0));
	*found = kind != 0;
	if (kind == 1) {
		if (answer_record(answer_at(reply, 1), 0, &task_fields, out, e) < 0)
			return -1;
		without_secret(out);
	} else if (kind == 2) {
		*out = (struct task_record){ .expired = true };
		(void)snprintf(out->id, sizeof(out->id), "%s", id);
		(void)snprintf(out->owner, sizeof(out->owner), "%s",
			       answer_text(answer_at(reply, 1)));
	}
	return 0;
}

struct task_fn {
	void (*fn)(const struct task_record *t, void *arg);
	void *arg;
};

static void
call_task(void *record, void *arg)
{
	const struct task_fn *f = arg;

	without_secret(record);
	f->fn(record, f->arg);
}

static int
task_list(struct store *s, const struct task_query *q,
	  void (*fn)(const struct task_record *t, void *arg), void *arg, const struct deadline *d,
	  struct err *e)
{
	struct task_fn f = { fn, arg };
	struct task_record t;
	char status[16] = "";
	struct redis_list l = { "task", "tasks",  q->owner,     q->after, "status",  status,
				"",     q->limit, &task_fields, &t,       call_task, &f };

	if (q->status >= 0)
		(void)snprintf(status, sizeof(status), "%d", q->status);
	return redis_list(s, &l, d, e);
}

static int
task_claim(struct store *s, const char *worker, int64_t lease_ms, struct task_record *out,
	   enum task_found *found, const struct deadline *d, struct err *e)
{
	int64_t kind;

	do {
		AUTO_REPLY reply = NULL;
		struct redis_args a;

		args_begin(&a, NULL);
		arg_text(&a, worker);
		arg_i64(&a, lease_ms);
		reply = redis_eval(s, SCRIPT_TASK_CLAIM, &a, d, e);
		if (!reply)
			return -1;
		kind = answer_i64(answer_at(reply, 0));
		*found = kind == 1 ? TASK_FRESH : kind == 2 ? TASK_ORPHAN : TASK_NONE;
		if (*found != TASK_NONE &&
		    answer_record(answer_at(reply, 1), 0, &task_fields, out, e) < 0)
			return -1;
		/* 3: what stood first was no task any more, and is gone. */
	} while (kind == 3 && !deadline_over(d));
	return 0;
}

static int
two_numbers(struct store *s, enum redis_script_name name, struct redis_args *a, bool *first,
	    int64_t *second, const struct deadline *d, struct err *e)
{
	AUTO_REPLY reply = redis_eval(s, name, a, d, e);

	if (!reply)
		return -1;
	*first = answer_i64(answer_at(reply, 0)) != 0;
	*second = answer_i64(answer_at(reply, 1));
	return 0;
}

static int
task_renew(struct store *s, const char *id, int64_t fence, int64_t lease_ms, bool *held,
	   bool *cancel, const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t wanted = 0;

	args_begin(&a, NULL);
	arg_text(&a, id);
	arg_i64(&a, fence);
	arg_i64(&a, lease_ms);
	if (two_numbers(s, SCRIPT_TASK_RENEW, &a, held, &wanted, d, e) < 0)
		return -1;
	*cancel = wanted != 0;
	return 0;
}

static int
task_advance(struct store *s, const char *id, int64_t fence, const struct task_step *step,
	     bool *held, const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t is = 0;

	args_begin(&a, NULL);
	arg_text(&a, id);
	arg_i64(&a, fence);
	arg_pair(&a, "dispatched", step->dispatched ? "1" : NULL);
	arg_pair(&a, "stage", step->stage);
	arg_pair(&a, "upstream_id", step->upstream_id);
	arg_pair(&a, "model", step->model);
	arg_pair(&a, "provider", step->provider);
	arg_pair(&a, "history", step->history);
	arg_pair(&a, "progress", step->progress);
	if (redis_eval_i64(s, SCRIPT_TASK_ADVANCE, &a, &is, d, e) < 0)
		return -1;
	*held = is != 0;
	return 0;
}

static int
task_finish(struct store *s, const char *id, int64_t fence, const struct task_end *end, bool *held,
	    enum task_status *ended, const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t status = 0;

	args_begin(&a, NULL);
	arg_text(&a, id);
	arg_i64(&a, fence);
	arg_i64(&a, end->status);
	arg_i64(&a, end->keep_ms);
	arg_i64(&a, end->callback);
	arg_i64(&a, end->history ? 2 : 0);
	arg_pair(&a, "history", end->history);
	if (end->status != TASK_REVOKED)
		arg_pair(&a, "result", end->result);
	arg_pair(&a, "error", end->error);
	if (two_numbers(s, SCRIPT_TASK_FINISH, &a, held, &status, d, e) < 0)
		return -1;
	*ended = (enum task_status)status;
	return 0;
}

static int
task_requeue(struct store *s, const char *id, int64_t fence, const struct task_again *again,
	     bool *held, enum task_status *now, const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t status = 0;

	args_begin(&a, NULL);
	arg_text(&a, id);
	arg_i64(&a, fence);
	arg_i64(&a, again->delay_ms);
	arg_i64(&a, again->uncounted);
	arg_i64(&a, again->keep_ms);
	arg_i64(&a, again->callback);
	arg_pair(&a, "history", again->history);
	if (two_numbers(s, SCRIPT_TASK_REQUEUE, &a, held, &status, d, e) < 0)
		return -1;
	*now = (enum task_status)status;
	return 0;
}

static int
task_cancel(struct store *s, const char *id, int64_t keep_ms, bool *found, bool *changed,
	    enum task_status *status, const struct deadline *d, struct err *e)
{
	AUTO_REPLY reply = NULL;
	struct redis_args a;

	args_begin(&a, NULL);
	arg_text(&a, id);
	arg_i64(&a, keep_ms);
	reply = redis_eval(s, SCRIPT_TASK_CANCEL, &a, d, e);
	if (!reply)
		return -1;
	*found = answer_i64(answer_at(reply, 0)) != 0;
	*changed = answer_i64(answer_at(reply, 1)) != 0;
	*status = (enum task_status)answer_i64(answer_at(reply, 2));
	return 0;
}

/* In its lane's line are only those that are queued. */
static int
place_in(struct store *s, const char *id, const char *lane, uint64_t *position,
	 const struct deadline *d, struct err *e)
{
	AUTO_REPLY reply = NULL;
	char key[sizeof(LANE_KEY) + TASK_LANE_TEXT];
	struct redis_args a;

	(void)snprintf(key, sizeof(key), "%s%s", LANE_KEY, lane);
	args_begin(&a, "ZRANK");
	arg_text(&a, key);
	arg_text(&a, id);
	reply = redis_run(redis_of(s), &a, d, e);
	if (!reply)
		return -1;
	*position = reply->type == REDIS_REPLY_INTEGER ? (uint64_t)reply->integer + 1 : 0;
	return 0;
}

static int
task_position(struct store *s, const char *id, const char *lane, uint64_t *position,
	      const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t n = 0;

	if (lane)
		return place_in(s, id, lane, position, d, e);
	args_begin(&a, NULL);
	arg_text(&a, id);
	if (redis_eval_i64(s, SCRIPT_TASK_POSITION, &a, &n, d, e) < 0)
		return -1;
	*position = (uint64_t)n;
	return 0;
}

static int
task_counts(struct store *s, struct task_counts *out, const struct deadline *d, struct err *e)
{
	AUTO_REPLY reply = NULL;
	struct redis_args a;

	*out = (struct task_counts){ 0 };
	args_begin(&a, "HMGET");
	arg_text(&a, "easel:counts");
	for (int i = 0; i < TASK__MAX; i++)
		arg_i64(&a, i);
	reply = redis_run(redis_of(s), &a, d, e);
	if (!reply)
		return -1;
	for (size_t i = 0; i < TASK__MAX; i++)
		out->n[i] = (uint64_t)answer_i64(answer_at(reply, i));
	return 0;
}

static int
task_callback(struct store *s, int64_t again_ms, struct task_record *out, bool *found,
	      const struct deadline *d, struct err *e)
{
	struct redis_args a;

	args_begin(&a, NULL);
	arg_i64(&a, again_ms);
	return redis_eval_record(s, SCRIPT_TASK_CALLBACK, &a, &task_fields, out, found, d, e);
}

static int
task_callback_done(struct store *s, const char *id, const char *callback, int64_t due_in_ms,
		   const struct deadline *d, struct err *e)
{
	struct redis_args a;
	int64_t is;

	args_begin(&a, NULL);
	arg_text(&a, id);
	arg_i64(&a, due_in_ms);
	arg_pair(&a, "callback", callback);
	return redis_eval_i64(s, SCRIPT_TASK_CALLBACK_DONE, &a, &is, d, e);
}

/*
 * Asked for again and again, which costs Redis some ten microseconds each: a blocking command would hold
 * one of the connections that the work needs.
 */
static int
task_wait(struct store *s, enum task_wait what, uint32_t *seen, const struct deadline *d,
	  struct err *e)
{
	int64_t pause_us = what == TASK_WAIT_QUEUE ? 20000 : 50000;

	for (;;) {
		AUTO_REPLY reply = NULL;
		/* The look at its end is one too: it gets the time that it needs. */
		struct deadline look = deadline_in_ms(LOOK_MS);
		struct redis_args a;
		struct timespec t;
		int64_t left_us;

		if (look.at_us < d->at_us)
			look = *d;
		args_begin(&a, "GET");
		arg_text(&a, what == TASK_WAIT_QUEUE ? "easel:wake:0" : "easel:wake:1");
		reply = redis_run(redis_of(s), &a, &look, e);
		if (!reply)
			return -1;
		left_us = d->at_us - clock_us();
		if ((uint32_t)answer_i64(reply) != *seen || left_us <= 0) {
			*seen = (uint32_t)answer_i64(reply);
			return 0;
		}
		t = (struct timespec){ .tv_nsec =
					       (left_us < pause_us ? left_us : pause_us) * 1000 };
		(void)nanosleep(&t, NULL);
	}
}

const struct task_driver redis_task = {
	.task_add = task_add,
	.task_get = task_get,
	.task_list = task_list,
	.task_claim = task_claim,
	.task_renew = task_renew,
	.task_advance = task_advance,
	.task_finish = task_finish,
	.task_requeue = task_requeue,
	.task_cancel = task_cancel,
	.task_position = task_position,
	.task_counts = task_counts,
	.task_callback = task_callback,
	.task_callback_done = task_callback_done,
	.task_wait = task_wait,
};
