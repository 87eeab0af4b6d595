/*
 * A task's place in its lane's line.  SQLite has no ranks: counting who stands before it costs as much as the
 * line is long, and a line of 100,000 is asked for by everybody who waits in it.  So only short lines are
 * counted.  Of a longer one every MARK_EVERY-th task is remembered for a while, and counted is from the mark
 * before.  What has left the line since then is still counted: a place may be MARKS_AGE_US old.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/sqlite_store.h"

#define COUNTED      256 /* places that are exact */
#define MARK_EVERY   128
#define LINES        4 /* long ones that are remembered */
#define MARKS_AGE_US 1000000
#define MARKS_SHARE  50 /* … or so many times what it took to find them, where that is longer */

struct line {
	char lane[TASK_LANE_TEXT];
	int64_t until_us; /* 0: none */
	int64_t *mark;    /* the seq of the MARK_EVERY-th, the 2 * MARK_EVERY-th, … */
	size_t n, room;
};

struct places {
	pthread_mutex_t lock;
	struct line line[LINES];
};

struct places *
places_new(void)
{
	struct places *p = calloc(1, sizeof(*p));

	if (p)
		(void)pthread_mutex_init(&p->lock, NULL);
	return p;
}

void
places_free(struct places *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < LINES; i++)
		free(p->line[i].mark);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

static int
mark_add(struct line *l, int64_t seq, struct err *e)
{
	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		int64_t *mark = realloc(l->mark, room * sizeof(*mark));

		if (!mark)
			return err_set(e, ERR_INTERNAL, "out of memory");
		l->mark = mark;
		l->room = room;
	}
	l->mark[l->n++] = seq;
	return 0;
}

/* Walks along the whole line. */
static int
line_read(struct sqlite_conn *c, struct line *l, const char *lane, struct err *e)
{
	static const char sql[] = "SELECT seq FROM tasks WHERE lane=? AND status<3 AND status<>1"
				  " ORDER BY seq";
	int64_t start_us = clock_us(), took_us;
	sqlite3_stmt *st = stmt_take(c, sql, e);
	int got = -1;

	if (!st)
		return -1;
	memcpy(l->lane, lane, sizeof(l->lane));
	l->n = 0;
	l->until_us = 0;
	bind_text(st, 1, lane);
	for (uint64_t i = 1; (got = stmt_row(c, st, e)) > 0; i++)
		if (i % MARK_EVERY == 0 && mark_add(l, sqlite3_column_int64(st, 0), e) < 0)
			return -1;
	took_us = clock_us() - start_us;
	l->until_us = clock_us() +
		      (took_us * MARKS_SHARE > MARKS_AGE_US ? took_us * MARKS_SHARE : MARKS_AGE_US);
	return got;
}

/* What is remembered of that lane's line, or what makes room for it.  With the lock. */
static struct line *
line_of(struct places *p, const char *lane)
{
	struct line *l = &p->line[0];

	for (unsigned i = 0; i < LINES; i++) {
		struct line *at = &p->line[i];

		if (at->until_us && !strcmp(at->lane, lane)) {
			l = at;
			break;
		}
		if (at->until_us < l->until_us)
			l = at;
	}
	return l;
}

static bool
is_fresh(const struct line *l, const char *lane)
{
	return l->until_us > clock_us() && !strcmp(l->lane, lane);
}

/* How many marks stand at or before seq. */
static size_t
marks_before(const struct line *l, int64_t seq)
{
	size_t low = 0;

	for (size_t high = l->n; low < high;) {
		size_t mid = low + (high - low) / 2;

		if (l->mark[mid] <= seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/*
 * The last mark at or before seq, and its place; both 0: there is none, or (with no connection to read with) what
 * is remembered is too old.
 */
static int
mark_before(struct places *p, struct sqlite_conn *c, const char *lane, int64_t seq, int64_t *mark,
	    uint64_t *place, struct err *e)
{
	struct line *l;
	size_t n = 0;
	int rc = 0;

	(void)pthread_mutex_lock(&p->lock);
	l = line_of(p, lane);
	if (!is_fresh(l, lane) && c)
		rc = line_read(c, l, lane, e);
	if (rc == 0 && is_fresh(l, lane))
		n = marks_before(l, seq);
	*mark = n ? l->mark[n - 1] : 0;
	*place = n * MARK_EVERY;
	(void)pthread_mutex_unlock(&p->lock);
	return rc;
}

/* How many of the lane stand behind `after` and up to seq; at most `most` of them. */
static int
count(struct sqlite_conn *c, const char *lane, int64_t after, int64_t seq, int64_t most,
      uint64_t *n, struct err *e)
{
	static const char sql[] =
		"SELECT count(*) FROM (SELECT 1 FROM tasks WHERE lane=? AND seq>? AND seq<=?"
		" AND status<3 AND status<>1 LIMIT ?)";
	sqlite3_stmt *st = stmt_take(c, sql, e);
	int got;

	if (!st)
		return -1;
	bind_text(st, 1, lane);
	bind_i64(st, 2, after);
	bind_i64(st, 3, seq);
	bind_i64(st, 4, most);
	got = stmt_row(c, st, e);
	*n = got > 0 ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
	(void)sqlite3_reset(st);
	return got < 0 ? -1 : 0;
}

/* Where a queued task stands.  1, 0: it is not queued, or -1. */
static int
find(struct sqlite_conn *c, const char *id, char lane[TASK_LANE_TEXT], int64_t *seq, struct err *e)
{
	static const char sql[] = "SELECT seq, lane FROM tasks WHERE id=? AND status IN (0,2)";
	sqlite3_stmt *st = stmt_take(c, sql, e);
	int got;

	if (!st)
		return -1;
	bind_text(st, 1, id);
	got = stmt_row(c, st, e);
	if (got > 0) {
		const unsigned char *text = sqlite3_column_text(st, 1);

		*seq = sqlite3_column_int64(st, 0);
		(void)snprintf(lane, TASK_LANE_TEXT, "%s", text ? (const char *)text : "");
		(void)sqlite3_reset(st);
	}
	return got;
}

int
sqlite_task_position(struct store *s, const char *id, const char *known, uint64_t *position,
		     const struct deadline *d, struct err *e)
{
	struct places *p = ((struct sqlite_store *)s->self)->places;
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	char lane[TASK_LANE_TEXT] = "";
	int64_t seq = 0, mark;
	uint64_t before, n;
	int got;

	(void)known; /* it is looked up together with what is not known */
	*position = 0;
	if (!c || (got = find(c, id, lane, &seq, e)) < 0)
		return -1;
	if (!got)
		return 0;
	(void)mark_before(p, NULL, lane, seq, &mark, &before, e);
	if (before <= COUNTED) {
		if (count(c, lane, 0, seq, COUNTED + 1, &n, e) < 0)
			return -1;
		if (n <= COUNTED) {
			*position = n;
			return 0;
		}
		if (mark_before(p, c, lane, seq, &mark, &before, e) < 0)
			return -1;
	}
	if (count(c, lane, mark, seq, INT64_MAX, &n, e) < 0)
		return -1;
	*position = before + n;
	return 0;
}
