/* A task's way through the queue: claimed, ended, queued again, cancelled. */
#include <stdio.h>

#include "store/sqlite_queue.h"

int
sqlite_promote(struct sqlite_conn *c, const char *lane, struct err *e)
{
	static const char sql[] =
		"UPDATE tasks SET ready=1 WHERE ready=0 AND status IN (0,2) AND seq IN"
		" (SELECT seq FROM tasks WHERE lane=? AND status<3 ORDER BY seq LIMIT ?)";
	sqlite3_stmt *st;

	if (!*lane)
		return 0;
	st = stmt_take(c, sql, e);
	if (!st)
		return -1;
	bind_text(st, 1, lane);
	bind_i64(st, 2, task_lane_width(lane));
	return stmt_run(c, st, e);
}

/* ---- claim ---- */

struct claim {
	const char *worker;
	int64_t now_ms, until_ms;
	struct task_record *out;
	enum task_found *found;
};

/* Is there anything?  Asked before the write that it takes, because mostly there is nothing. */
static int
any_claimable(struct store *s, int64_t now_ms, bool *any, const struct deadline *d, struct err *e)
{
	static const char sql[] =
		"SELECT EXISTS (SELECT 1 FROM tasks WHERE ready=1 AND due_ms<=?1) OR"
		" EXISTS (SELECT 1 FROM tasks WHERE status=1 AND lease_until_ms<=?1)";
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	sqlite3_stmt *st;

	if (!c || !(st = stmt_take(c, sql, e)))
		return -1;
	bind_i64(st, 1, now_ms);
	if (stmt_row(c, st, e) < 0)
		return -1;
	*any = sqlite3_column_int(st, 0) != 0;
	return 0;
}

static int
claim_by(struct sqlite_conn *c, const char *sql, struct claim *k, bool *is, struct err *e)
{
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	bind_i64(st, 1, k->now_ms);
	bind_i64(st, 2, k->until_ms);
	bind_text(st, 3, k->worker);
	return row_one(c, st, &task_fields, k->out, is, e);
}

static int
claim_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char orphan[] =
		"UPDATE tasks SET lease_until_ms=?2, worker=?3, fence=fence+1 WHERE seq="
		"(SELECT seq FROM tasks WHERE status=1 AND lease_until_ms<=?1"
		" ORDER BY lease_until_ms LIMIT 1) RETURNING " TASK_COLUMNS;
	static const char fresh[] =
		"UPDATE tasks SET status=1, ready=0, lease_until_ms=?2, worker=?3, fence=fence+1,"
		" attempts=attempts+1, dispatched=0, upstream_id='', cancel_requested=0,"
		" started_ms=CASE WHEN started_ms=0 THEN ?1 ELSE started_ms END WHERE seq="
		"(SELECT seq FROM tasks WHERE ready=1 AND due_ms<=?1 ORDER BY due_ms, seq LIMIT 1)"
		" RETURNING " TASK_COLUMNS;
	struct claim *k = arg;
	bool is = false;

	*k->found = TASK_NONE;
	if (claim_by(c, orphan, k, &is, e) < 0)
		return -1;
	if (is) {
		*k->found = TASK_ORPHAN;
		return 0;
	}
	if (claim_by(c, fresh, k, &is, e) < 0)
		return -1;
	if (is)
		*k->found = TASK_FRESH;
	return 0;
}

int
sqlite_claim(struct store *s, const char *worker, int64_t lease_ms, struct task_record *out,
	     enum task_found *found, const struct deadline *d, struct err *e)
{
	int64_t now_ms = clock_wall_ms();
	struct claim k = { worker, now_ms, now_ms + lease_ms, out, found };
	bool any = false;

	*found = TASK_NONE;
	if (any_claimable(s, now_ms, &any, d, e) < 0)
		return -1;
	if (!any)
		return 0;
	if (pool_write(sqlite_pool(s), claim_in, &k, d, e) < 0) {
		if (*found != TASK_NONE)
			task_record_done(out);
		*found = TASK_NONE;
		return -1;
	}
	if (*found != TASK_NONE)
		wakes(s, false);
	return 0;
}

/* ---- the end ---- */

/* Where a task stands, for a decision inside the same transaction. */
struct stand {
	bool is;
	enum task_status status;
	int64_t fence;
	bool cancel;
	bool callback; /* there is somebody to be told of its end */
	char lane[TASK_LANE_TEXT];
};

static int
stand_read(struct sqlite_conn *c, const char *id, struct stand *out, struct err *e)
{
	static const char sql[] =
		"SELECT status, fence, cancel_requested, lane, callback<>'' FROM tasks WHERE id=?";
	sqlite3_stmt *st = stmt_take(c, sql, e);
	int got;

	if (!st)
		return -1;
	bind_text(st, 1, id);
	got = stmt_row(c, st, e);
	*out = (struct stand){ .is = got > 0 };
	if (got <= 0)
		return got;
	out->status = (enum task_status)sqlite3_column_int(st, 0);
	out->fence = sqlite3_column_int64(st, 1);
	out->cancel = sqlite3_column_int(st, 2) != 0;
	(void)snprintf(out->lane, sizeof(out->lane), "%s",
		       (const char *)sqlite3_column_text(st, 3));
	out->callback = sqlite3_column_int(st, 4) != 0;
	(void)sqlite3_reset(st);
	return 0;
}

static int
end_now(struct sqlite_conn *c, const char *id, const struct stand *is, const struct task_end *end,
	int64_t now_ms, struct err *e)
{
	static const char sql[] =
		"UPDATE tasks SET status=?2, ready=0, ended_ms=?3, expires_ms=?4,"
		" callback_due_ms=?5, result=coalesce(?6, result), error=coalesce(?7, error),"
		" history=coalesce(?8, history), secret=x'', cancel_requested=0,"
		" lease_until_ms=0 WHERE id=?1";
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	bind_text(st, 1, id);
	bind_i64(st, 2, end->status);
	bind_i64(st, 3, now_ms);
	bind_i64(st, 4, end->keep_ms ? now_ms + end->keep_ms : 0);
	bind_i64(st, 5, end->callback ? now_ms : 0);
	bind_text(st, 6, end->status == TASK_REVOKED ? NULL : end->result);
	bind_text(st, 7, end->error);
	bind_text(st, 8, end->history);
	return stmt_run(c, st, e) < 0 ? -1 : sqlite_promote(c, is->lane, e);
}

struct finish {
	const char *id;
	int64_t fence, now_ms;
	const struct task_end *end;
	bool *held;
	enum task_status *ended;
};

static int
finish_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	struct finish *f = arg;
	struct task_end end = *f->end;
	struct stand is;

	if (stand_read(c, f->id, &is, e) < 0)
		return -1;
	*f->held = is.is && is.fence == f->fence &&
		   (is.status == TASK_STARTED || task_has_ended(is.status));
	*f->ended = is.status;
	if (!*f->held || is.status != TASK_STARTED)
		return 0;
	if (is.cancel) {
		end.status = TASK_REVOKED;
		end.result = end.error = NULL;
	}
	*f->ended = end.status;
	return end_now(c, f->id, &is, &end, f->now_ms, e);
}

int
sqlite_finish(struct store *s, const char *id, int64_t fence, const struct task_end *end,
	      bool *held, enum task_status *ended, const struct deadline *d, struct err *e)
{
	struct finish f = { id, fence, clock_wall_ms(), end, held, ended };

	if (pool_write(sqlite_pool(s), finish_in, &f, d, e) < 0)
		return -1;
	wakes(s, true); /* the lane's next */
	return 0;
}

/* ---- again ---- */

struct requeue {
	const char *id;
	int64_t fence, now_ms;
	const struct task_again *again;
	bool *held;
	enum task_status *now;
};

static int
requeue_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] =
		"UPDATE tasks SET status=2, ready=(lane=''), due_ms=?2, dispatched=0, "
		"upstream_id='',"
		" lease_until_ms=0, history=coalesce(?3, history), attempts=max(attempts-?4, 0)"
		" WHERE id=?1";
	struct requeue *r = arg;
	struct task_end end = { TASK_REVOKED,      NULL, NULL, r->again->history, r->again->keep_ms,
				r->again->callback };
	sqlite3_stmt *st;
	struct stand is;

	if (stand_read(c, r->id, &is, e) < 0)
		return -1;
	*r->held = is.is && is.fence == r->fence;
	*r->now = is.status;
	if (!*r->held || is.status != TASK_STARTED)
		return 0;
	*r->now = is.cancel ? TASK_REVOKED : TASK_RETRY;
	if (is.cancel)
		return end_now(c, r->id, &is, &end, r->now_ms, e);
	st = stmt_take(c, sql, e);
	if (!st)
		return -1;
	bind_text(st, 1, r->id);
	bind_i64(st, 2, r->now_ms + r->again->delay_ms);
	bind_text(st, 3, r->again->history);
	bind_i64(st, 4, r->again->uncounted);
	return stmt_run(c, st, e) < 0 ? -1 : sqlite_promote(c, is.lane, e);
}

int
sqlite_requeue(struct store *s, const char *id, int64_t fence, const struct task_again *again,
	       bool *held, enum task_status *now, const struct deadline *d, struct err *e)
{
	struct requeue r = { id, fence, clock_wall_ms(), again, held, now };

	if (pool_write(sqlite_pool(s), requeue_in, &r, d, e) < 0)
		return -1;
	wakes(s, true);
	return 0;
}

/* ---- cancel ---- */

struct cancel {
	const char *id;
	int64_t keep_ms, now_ms;
	bool *found, *changed;
	enum task_status *status;
};

static int
cancel_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] = "UPDATE tasks SET cancel_requested=1 WHERE id=?";
	struct cancel *k = arg;
	struct task_end end = { .status = TASK_REVOKED, .keep_ms = k->keep_ms };
	sqlite3_stmt *st;
	struct stand is;

	if (stand_read(c, k->id, &is, e) < 0)
		return -1;
	*k->found = is.is;
	*k->changed = is.is && !task_has_ended(is.status);
	*k->status = is.status;
	if (!*k->changed)
		return 0;
	if (is.status != TASK_STARTED) {
		*k->status = TASK_REVOKED;
		end.callback = is.callback;
		return end_now(c, k->id, &is, &end, k->now_ms, e);
	}
	st = stmt_take(c, sql, e);
	if (!st)
		return -1;
	bind_text(st, 1, k->id);
	return stmt_run(c, st, e);
}

int
sqlite_cancel(struct store *s, const char *id, int64_t keep_ms, bool *found, bool *changed,
	      enum task_status *status, const struct deadline *d, struct err *e)
{
	struct cancel k = { id, keep_ms, clock_wall_ms(), found, changed, status };

	if (pool_write(sqlite_pool(s), cancel_in, &k, d, e) < 0)
		return -1;
	wakes(s, true);
	return 0;
}
