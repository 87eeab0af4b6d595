/* Tasks: adding, reading, listing.  Their way through the queue is in store_sqlite_queue.c. */
#include <stdio.h>
#include <string.h>

#include "store/sqlite_queue.h"

#define QUESTION_30                                                               \
	"?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20," \
	"?21,?22,?23,?24,?25,?26,?27,?28,?29,?30"

struct add {
	struct task_record t; /* as it is to be stored; its long texts are the caller's */
	const struct task_add *how;
	struct idem_record *other;
	bool *added;
	int64_t now_ms;
};

static int
queue_is_full(struct sqlite_conn *c, uint64_t most, bool *full, struct err *e)
{
	static const char sql[] = "SELECT total(n) FROM task_counts WHERE status IN (0,2)";
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st || stmt_row(c, st, e) < 0)
		return -1;
	*full = (uint64_t)sqlite3_column_int64(st, 0) >= most;
	(void)sqlite3_reset(st);
	return 0;
}

static int
add_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char known[] = "SELECT 1 FROM tasks WHERE id=?";
	static const char sql[] =
		"INSERT INTO tasks (" TASK_COLUMNS ", ready) VALUES (" QUESTION_30
		", CASE WHEN ?10=1 THEN 0 WHEN ?4='' THEN 1 ELSE ?31>(SELECT count(*) FROM"
		" (SELECT 1 FROM tasks WHERE lane=?4 AND status<3 LIMIT ?31)) END)";
	struct add *a = arg;
	bool queued = a->t.status == TASK_PENDING, is = false;
	sqlite3_stmt *st = stmt_take(c, known, e);

	*a->added = true;
	if (!st)
		return -1;
	bind_text(st, 1, a->t.id);
	if (row_one(c, st, NULL, NULL, &is, e) < 0)
		return -1;
	if (is)
		return 0;
	if (queued && a->how->queue_length) {
		if (queue_is_full(c, a->how->queue_length, &is, e) < 0)
			return -1;
		if (is)
			return err_set(e, ERR_RATE_LIMITED, "the queue is full");
	}
	if (a->how->idem && sqlite_idem_begin(c, a->how->idem, a->other, a->added, e) < 0)
		return -1;
	if (!*a->added)
		return 0;
	st = stmt_take(c, sql, e);
	if (!st)
		return -1;
	row_bind(st, 1, &task_fields, &a->t);
	bind_i64(st, 31, task_lane_width(a->t.lane));
	return stmt_run(c, st, e);
}

static int
task_add(struct store *s, const struct task_record *t, const struct task_add *how,
	 struct idem_record *other, bool *added, const struct deadline *d, struct err *e)
{
	static const struct task_add plain;
	struct add a = { .t = *t,
			 .how = how ? how : &plain,
			 .other = other,
			 .added = added,
			 .now_ms = clock_wall_ms() };

	task_prepare(&a.t, a.how, a.now_ms);
	if (pool_write(sqlite_pool(s), add_in, &a, d, e) < 0)
		return -1;
	wakes(s, a.t.status == TASK_PENDING);
	return 0;
}

static int
task_get(struct store *s, const char *id, struct task_record *out, bool *found,
	 const struct deadline *d, struct err *e)
{
	static const char sql[] = "SELECT " TASK_SEEN_COLUMNS " FROM tasks WHERE id=?";
	static const char gone[] = "SELECT owner FROM gone WHERE id=?";
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	sqlite3_stmt *st;
	int got;

	if (!c || !(st = stmt_take(c, sql, e)))
		return -1;
	bind_text(st, 1, id);
	if (row_one(c, st, &task_fields, out, found, e) < 0)
		return -1;
	if (*found)
		return 0;
	if (!(st = stmt_take(c, gone, e)))
		return -1;
	bind_text(st, 1, id);
	got = stmt_row(c, st, e);
	if (got <= 0)
		return got;
	*out = (struct task_record){ .expired = true };
	(void)snprintf(out->id, sizeof(out->id), "%s", id);
	(void)snprintf(out->owner, sizeof(out->owner), "%s",
		       (const char *)sqlite3_column_text(st, 0));
	*found = true;
	return 0;
}

#define LIST_HEAD "SELECT " TASK_SEEN_COLUMNS " FROM tasks WHERE "
#define LIST_TAIL                                                      \
	" AND (?2 IS NULL OR seq<(SELECT seq FROM tasks WHERE id=?2))" \
	" AND (?3<0 OR status=?3) ORDER BY seq DESC LIMIT ?4"

static int
task_list(struct store *s, const struct task_query *q,
	  void (*fn)(const struct task_record *t, void *arg), void *arg, const struct deadline *d,
	  struct err *e)
{
	static const char all[] = LIST_HEAD "?1 IS NULL" LIST_TAIL;
	static const char owners[] = LIST_HEAD "owner=?1" LIST_TAIL;
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	struct task_record t;
	sqlite3_stmt *st;
	int got;

	if (!c || !(st = stmt_take(c, q->owner ? owners : all, e)))
		return -1;
	bind_text(st, 1, q->owner);
	bind_text(st, 2, q->after);
	bind_i64(st, 3, q->status);
	bind_i64(st, 4, q->limit < INT64_MAX ? (int64_t)q->limit : INT64_MAX);
	while ((got = stmt_row(c, st, e)) > 0) {
		if (row_read(st, 0, &task_fields, &t, e) < 0)
			return -1;
		fn(&t, arg);
		task_record_done(&t);
	}
	return got;
}

static int
task_counts(struct store *s, struct task_counts *out, const struct deadline *d, struct err *e)
{
	static const char sql[] = "SELECT status, n FROM task_counts";
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	sqlite3_stmt *st;
	int got;

	*out = (struct task_counts){ 0 };
	if (!c || !(st = stmt_take(c, sql, e)))
		return -1;
	while ((got = stmt_row(c, st, e)) > 0) {
		int64_t status = sqlite3_column_int64(st, 0);

		if (status >= 0 && status < TASK__MAX)
			out->n[status] = (uint64_t)sqlite3_column_int64(st, 1);
	}
	return got;
}

static int
task_wait(struct store *s, enum task_wait what, uint32_t *seen, const struct deadline *d,
	  struct err *e)
{
	struct sqlite_store *q = s->self;

	(void)e;
	wake_wait(q->wake, what, seen, d);
	return 0;
}

int
sqlite_task_prune(struct sqlite_conn *c, int64_t now_ms, size_t limit, uint64_t *removed,
		  struct err *e)
{
#define OVER                                                                         \
	"(SELECT seq FROM tasks WHERE status>=3 AND expires_ms>0 AND expires_ms<=?1" \
	" ORDER BY expires_ms LIMIT ?2)"
	static const char keep[] = "INSERT OR REPLACE INTO gone (id, owner, until_ms) SELECT id,"
				   " owner, ?1+?3 FROM tasks WHERE seq IN " OVER;
	static const char drop[] = "DELETE FROM tasks WHERE seq IN " OVER;
	const char *const sql[] = { keep, drop };

	for (size_t i = 0; i < 2; i++) {
		sqlite3_stmt *st = stmt_take(c, sql[i], e);

		if (!st)
			return -1;
		bind_i64(st, 1, now_ms);
		bind_i64(st, 2, (int64_t)limit);
		if (i == 0)
			bind_i64(st, 3, STORE_GONE_MS);
		if (stmt_run(c, st, e) < 0)
			return -1;
	}
	*removed += (uint64_t)sqlite3_changes(c->db);
	return 0;
}

const struct task_driver sqlite_task = {
	.task_add = task_add,
	.task_get = task_get,
	.task_list = task_list,
	.task_claim = sqlite_claim,
	.task_renew = sqlite_renew,
	.task_advance = sqlite_advance,
	.task_finish = sqlite_finish,
	.task_requeue = sqlite_requeue,
	.task_cancel = sqlite_cancel,
	.task_position = sqlite_task_position,
	.task_counts = task_counts,
	.task_callback = sqlite_callback,
	.task_callback_done = sqlite_callback_done,
	.task_wait = task_wait,
};
