#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store/sqlite_store.h"

static void
sqlite_close(void *self)
{
	struct sqlite_store *q = self;

	if (!q)
		return;
	pool_free(q->pool);
	wake_free(q->wake);
	places_free(q->places);
	free(q);
}

static int
sqlite_open(void **self, const char *rest, const char *state_dir, bool migrate, struct err *e)
{
	AUTO_FREE char *path = NULL;
	AUTO_FREE char *wake = NULL;
	struct sqlite_store *q;
	struct pool *pool;

	if (!*rest || *rest == ':')
		return err_set(e, ERR_CONFIG, "[store] url: 'sqlite:' needs a file's name.");
	if (asprintf(&path, "%s%s%s", *rest == '/' ? "" : state_dir, *rest == '/' ? "" : "/",
		     rest) < 0 ||
	    asprintf(&wake, "%s-wake", path) < 0)
		return err_set(e, ERR_INTERNAL, "out of memory");
	if (migrate && mkdir(state_dir, 0700) < 0 && errno != EEXIST) {
		(void)err_set(e, ERR_STORE, "folder");
		err_detail(e, "%s: %s", state_dir, strerror(errno));
		return -1;
	}
	if (pool_open(&pool, path, &sqlite_schema, migrate, e) < 0)
		return -1;
	q = calloc(1, sizeof(*q));
	if (!q || !(q->places = places_new())) {
		free(q);
		pool_free(pool);
		return err_set(e, ERR_INTERNAL, "out of memory");
	}
	q->pool = pool;
	q->wake = wake_open(wake);
	*self = q;
	return 0;
}

static int
sqlite_ping(struct store *s, const struct deadline *d, struct err *e)
{
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);

	return !c ? -1 : conn_check(c, e);
}

struct prune {
	int64_t now_ms;
	size_t limit;
	uint64_t removed;
};

static int
prune_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const struct {
		const char *sql;
		int64_t kept_ms; /* after the time in its row */
	} over[] = {
		{ "DELETE FROM gone WHERE rowid IN"
		  " (SELECT rowid FROM gone WHERE until_ms<=?1 ORDER BY until_ms LIMIT ?2)",
		  0 },
		{ "DELETE FROM idem WHERE n IN"
		  " (SELECT n FROM idem WHERE expires_ms<=?1 ORDER BY expires_ms LIMIT ?2)",
		  0 },
		{ "DELETE FROM sessions WHERE rowid IN"
		  " (SELECT rowid FROM sessions WHERE expires_ms<=?1 ORDER BY expires_ms LIMIT ?2)",
		  0 },
		{ "DELETE FROM lockouts WHERE rowid IN (SELECT rowid FROM lockouts"
		  " WHERE forget_at_ms<=?1 ORDER BY forget_at_ms LIMIT ?2)",
		  0 },
		{ "DELETE FROM jobs WHERE rowid IN"
		  " (SELECT rowid FROM jobs WHERE created_ms<=?1 ORDER BY created_ms LIMIT ?2)",
		  STORE_GONE_MS },
	};
	struct prune *p = arg;

	if (sqlite_task_prune(c, p->now_ms, p->limit, &p->removed, e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(over) / sizeof(*over); i++) {
		sqlite3_stmt *st = stmt_take(c, over[i].sql, e);

		if (!st)
			return -1;
		bind_i64(st, 1, p->now_ms - over[i].kept_ms);
		bind_i64(st, 2, (int64_t)p->limit);
		if (stmt_run(c, st, e) < 0)
			return -1;
		p->removed += (uint64_t)sqlite3_changes(c->db);
	}
	return 0;
}

static int
sqlite_prune(struct store *s, size_t limit, uint64_t *removed, const struct deadline *d,
	     struct err *e)
{
	struct prune p = { .now_ms = clock_wall_ms(), .limit = limit };

	if (pool_write(sqlite_pool(s), prune_in, &p, d, e) < 0)
		return -1;
	*removed = p.removed;
	return 0;
}

static int
sqlite_remarks(struct store *s, void (*fn)(const char *sentence, void *arg), void *arg,
	       const struct deadline *d, struct err *e)
{
	(void)s, (void)fn, (void)arg, (void)d, (void)e;
	return 0;
}

const struct store_driver store_sqlite = {
	.scheme = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.ping = sqlite_ping,
	.prune = sqlite_prune,
	.remarks = sqlite_remarks,
	.key = &sqlite_key,
	.task = &sqlite_task,
	.idem = &sqlite_idem,
	.user = &sqlite_user,
	.usage = &sqlite_usage,
	.limit = &sqlite_limit,
	.slot = &local_slot,
};
