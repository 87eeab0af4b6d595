/* What a worker writes while it has a task; and the webhooks of ended ones. */
#include "store/sqlite_queue.h"

struct renew {
	const char *id;
	int64_t fence, until_ms;
	bool *held, *cancel;
};

static int
renew_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] =
		"UPDATE tasks SET lease_until_ms=?3 WHERE id=?1 AND fence=?2 AND status=1"
		" RETURNING cancel_requested";
	struct renew *r = arg;
	sqlite3_stmt *st = stmt_take(c, sql, e);
	int got;

	if (!st)
		return -1;
	bind_text(st, 1, r->id);
	bind_i64(st, 2, r->fence);
	bind_i64(st, 3, r->until_ms);
	got = stmt_row(c, st, e);
	*r->held = got > 0;
	*r->cancel = got > 0 && sqlite3_column_int(st, 0) != 0;
	while (got > 0)
		got = stmt_row(c, st, e);
	return got;
}

int
sqlite_renew(struct store *s, const char *id, int64_t fence, int64_t lease_ms, bool *held,
	     bool *cancel, const struct deadline *d, struct err *e)
{
	struct renew r = { id, fence, clock_wall_ms() + lease_ms, held, cancel };

	return pool_write(sqlite_pool(s), renew_in, &r, d, e);
}

struct advance {
	const char *id;
	int64_t fence;
	const struct task_step *step;
	bool *held;
};

static int
advance_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] =
		"UPDATE tasks SET dispatched=max(dispatched, ?3), stage=coalesce(?4, stage),"
		" upstream_id=coalesce(?5, upstream_id), model=coalesce(?6, model),"
		" provider=coalesce(?7, provider), history=coalesce(?8, history),"
		" progress=coalesce(?9, progress) WHERE id=?1 AND fence=?2 AND status=1";
	struct advance *a = arg;
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	bind_text(st, 1, a->id);
	bind_i64(st, 2, a->fence);
	bind_i64(st, 3, a->step->dispatched);
	bind_text(st, 4, a->step->stage);
	bind_text(st, 5, a->step->upstream_id);
	bind_text(st, 6, a->step->model);
	bind_text(st, 7, a->step->provider);
	bind_text(st, 8, a->step->history);
	bind_text(st, 9, a->step->progress);
	if (stmt_run(c, st, e) < 0)
		return -1;
	*a->held = sqlite3_changes(c->db) > 0;
	return 0;
}

int
sqlite_advance(struct store *s, const char *id, int64_t fence, const struct task_step *step,
	       bool *held, const struct deadline *d, struct err *e)
{
	struct advance a = { id, fence, step, held };

	if (pool_write(sqlite_pool(s), advance_in, &a, d, e) < 0)
		return -1;
	wakes(s, false);
	return 0;
}

/* ---- webhooks ---- */

struct callback {
	int64_t now_ms, again_ms;
	struct task_record *out;
	bool *found;
};

static int
callback_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] =
		"UPDATE tasks SET callback_due_ms=?1+?2, callback_tries=callback_tries+1 WHERE seq="
		"(SELECT seq FROM tasks WHERE callback_due_ms>0 AND callback_due_ms<=?1"
		" ORDER BY callback_due_ms LIMIT 1) RETURNING " TASK_COLUMNS;
	struct callback *k = arg;
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	bind_i64(st, 1, k->now_ms);
	bind_i64(st, 2, k->again_ms);
	return row_one(c, st, &task_fields, k->out, k->found, e);
}

static int
callback_any(struct store *s, int64_t now_ms, bool *any, const struct deadline *d, struct err *e)
{
	static const char sql[] =
		"SELECT 1 FROM tasks WHERE callback_due_ms>0 AND callback_due_ms<=?1 LIMIT 1";
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	sqlite3_stmt *st;

	if (!c || !(st = stmt_take(c, sql, e)))
		return -1;
	bind_i64(st, 1, now_ms);
	return row_one(c, st, NULL, NULL, any, e);
}

int
sqlite_callback(struct store *s, int64_t again_ms, struct task_record *out, bool *found,
		const struct deadline *d, struct err *e)
{
	struct callback k = { clock_wall_ms(), again_ms, out, found };

	*found = false;
	if (callback_any(s, k.now_ms, found, d, e) < 0)
		return -1;
	if (!*found)
		return 0;
	*found = false;
	if (pool_write(sqlite_pool(s), callback_in, &k, d, e) == 0)
		return 0;
	if (*found)
		task_record_done(out);
	*found = false;
	return -1;
}

struct callback_done {
	const char *id, *callback;
	int64_t due_ms;
};

static int
callback_done_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] = "UPDATE tasks SET callback_due_ms=?2,"
				  " callback=coalesce(?3, callback) WHERE id=?1 AND status>=3";
	struct callback_done *k = arg;
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	bind_text(st, 1, k->id);
	bind_i64(st, 2, k->due_ms);
	bind_text(st, 3, k->callback);
	return stmt_run(c, st, e);
}

int
sqlite_callback_done(struct store *s, const char *id, const char *callback, int64_t due_in_ms,
		     const struct deadline *d, struct err *e)
{
	struct callback_done k = { id, callback, due_in_ms < 0 ? 0 : clock_wall_ms() + due_in_ms };

	return pool_write(sqlite_pool(s), callback_done_in, &k, d, e);
}
