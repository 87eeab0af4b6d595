#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store/sqlite_pool.h"

/*
 * The schema, one step a version.  A step never changes once it was released, and does no harm when it
 * runs again over its own result.  Times are wall-clock milliseconds, 0 for "not".
 */
static const char *const steps[] = {
	"CREATE TABLE IF NOT EXISTS keys ("
	" id TEXT PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL UNIQUE,"
	" scopes INTEGER NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL,"
	" revoked_ms INTEGER NOT NULL, hint TEXT NOT NULL);"
	"CREATE TABLE IF NOT EXISTS jobs ("
	" id TEXT PRIMARY KEY, request_id TEXT NOT NULL, key_id TEXT NOT NULL,"
	" program TEXT NOT NULL, model TEXT NOT NULL, provider TEXT NOT NULL,"
	" stage TEXT NOT NULL, outcome TEXT NOT NULL, upstream_id TEXT NOT NULL,"
	" created_ms INTEGER NOT NULL, ended_ms INTEGER NOT NULL);"
	"CREATE INDEX IF NOT EXISTS jobs_created ON jobs (created_ms);",
};

static const char *const tables[] = { "keys", "jobs", NULL };

enum {
	SQL_KEY_ADD,
	SQL_KEY_BY_HASH,
	SQL_KEY_REVOKE,
	SQL_KEY_EACH,
	SQL_JOB_ADD,
	SQL_JOB_EACH,
	SQL__MAX
};
_Static_assert((int)SQL__MAX <= POOL_STATEMENTS, "POOL_STATEMENTS is too small");

#define KEY_COLUMNS "id, name, hash, scopes, created_ms, expires_ms, revoked_ms, hint"
#define JOB_COLUMNS                                                                       \
	"id, request_id, key_id, program, model, provider, stage, outcome, upstream_id, " \
	"created_ms, ended_ms"

static const char *const sql[SQL__MAX] = {
	[SQL_KEY_ADD] = "INSERT INTO keys (" KEY_COLUMNS ") VALUES (?,?,?,?,?,?,?,?)",
	[SQL_KEY_BY_HASH] = "SELECT " KEY_COLUMNS " FROM keys WHERE hash=?",
	[SQL_KEY_REVOKE] =
		"UPDATE keys SET revoked_ms=?2 WHERE (id=?1 OR name=?1) AND revoked_ms=0",
	[SQL_KEY_EACH] = "SELECT " KEY_COLUMNS " FROM keys ORDER BY created_ms, rowid",
	/* Whoever takes over a dead process's jobs may die too and leave one to be added again. */
	[SQL_JOB_ADD] = "INSERT INTO jobs (" JOB_COLUMNS ") VALUES (?,?,?,?,?,?,?,?,?,?,?)"
			" ON CONFLICT (id) DO NOTHING",
	[SQL_JOB_EACH] =
		"SELECT " JOB_COLUMNS " FROM jobs ORDER BY created_ms DESC, rowid DESC LIMIT ?",
};

static const struct schema schema = {
	.steps = steps,
	.version = sizeof(steps) / sizeof(*steps),
	.tables = tables,
	.sql = sql,
};

static int
sqlite_open(void **self, const char *rest, const char *state_dir, bool migrate, struct err *e)
{
	AUTO_FREE char *path = NULL;
	struct pool *p;

	if (!*rest || *rest == ':')
		return err_set(e, ERR_CONFIG, "[store] url: 'sqlite:' needs a file's name.");
	if (asprintf(&path, "%s%s%s", *rest == '/' ? "" : state_dir, *rest == '/' ? "" : "/",
		     rest) < 0) {
		path = NULL;
		return err_set(e, ERR_INTERNAL, "out of memory");
	}
	if (migrate && mkdir(state_dir, 0700) < 0 && errno != EEXIST) {
		(void)err_set(e, ERR_STORE, "folder");
		err_detail(e, "%s: %s", state_dir, strerror(errno));
		return -1;
	}
	if (pool_open(&p, path, &schema, migrate, e) < 0)
		return -1;
	*self = p;
	return 0;
}

static void
sqlite_close(void *self)
{
	pool_free(self);
}

static int
sqlite_ping(void *self, const struct deadline *d, struct err *e)
{
	AUTO_PTR(sqlite_conn) c = pool_take(self, d, e);

	return !c ? -1 : conn_check(c, e);
}

static void
bind_text(sqlite3_stmt *s, int column, const char *text)
{
	(void)sqlite3_bind_text(s, column, text, -1, SQLITE_STATIC);
}

static void
column_text(sqlite3_stmt *s, int column, char *out, size_t size)
{
	const char *text = (const char *)sqlite3_column_text(s, column);

	(void)snprintf(out, size, "%s", text ? text : "");
}

static void
key_read(sqlite3_stmt *s, struct key_record *k)
{
	const void *hash = sqlite3_column_blob(s, 2);

	*k = (struct key_record){ .scopes = (unsigned)sqlite3_column_int64(s, 3),
				  .created_ms = sqlite3_column_int64(s, 4),
				  .expires_ms = sqlite3_column_int64(s, 5),
				  .revoked_ms = sqlite3_column_int64(s, 6) };
	column_text(s, 0, k->id, sizeof(k->id));
	column_text(s, 1, k->name, sizeof(k->name));
	column_text(s, 7, k->hint, sizeof(k->hint));
	if (hash && sqlite3_column_bytes(s, 2) == KEY_HASH_BYTES)
		memcpy(k->hash, hash, KEY_HASH_BYTES);
}

static int
sqlite_key_add(void *self, const struct key_record *k, const struct deadline *d, struct err *e)
{
	AUTO_PTR(sqlite_conn) c = pool_take(self, d, e);
	sqlite3_stmt *s;

	if (!c || conn_begin(c, e) < 0 || !(s = stmt_take(c, SQL_KEY_ADD, e)))
		return -1;
	bind_text(s, 1, k->id);
	bind_text(s, 2, k->name);
	(void)sqlite3_bind_blob(s, 3, k->hash, KEY_HASH_BYTES, SQLITE_STATIC);
	(void)sqlite3_bind_int64(s, 4, k->scopes);
	(void)sqlite3_bind_int64(s, 5, k->created_ms);
	(void)sqlite3_bind_int64(s, 6, k->expires_ms);
	(void)sqlite3_bind_int64(s, 7, k->revoked_ms);
	bind_text(s, 8, k->hint);
	return stmt_run(c, s, e) < 0 ? -1 : conn_commit(c, e);
}

static int
sqlite_key_by_hash(void *self, const unsigned char *hash, struct key_record *out, bool *found,
		   const struct deadline *d, struct err *e)
{
	AUTO_PTR(sqlite_conn) c = pool_take(self, d, e);
	sqlite3_stmt *s;
	int got;

	if (!c || !(s = stmt_take(c, SQL_KEY_BY_HASH, e)))
		return -1;
	(void)sqlite3_bind_blob(s, 1, hash, KEY_HASH_BYTES, SQLITE_STATIC);
	got = stmt_row(c, s, e);
	if (got > 0)
		key_read(s, out);
	*found = got > 0;
	return got < 0 ? -1 : 0;
}

static int
sqlite_key_revoke(void *self, const char *id_or_name, int64_t now_ms, bool *found,
		  const struct deadline *d, struct err *e)
{
	AUTO_PTR(sqlite_conn) c = pool_take(self, d, e);
	sqlite3_stmt *s;

	if (!c || conn_begin(c, e) < 0 || !(s = stmt_take(c, SQL_KEY_REVOKE, e)))
		return -1;
	bind_text(s, 1, id_or_name);
	(void)sqlite3_bind_int64(s, 2, now_ms);
	if (stmt_run(c, s, e) < 0)
		return -1;
	*found = sqlite3_changes(c->db) > 0;
	return conn_commit(c, e);
}

static int
sqlite_key_each(void *self, void (*fn)(const struct key_record *, void *), void *arg,
		const struct deadline *d, struct err *e)
{
	AUTO_PTR(sqlite_conn) c = pool_take(self, d, e);
	struct key_record k;
	sqlite3_stmt *s;
	int got;

	if (!c || !(s = stmt_take(c, SQL_KEY_EACH, e)))
		return -1;
	while ((got = stmt_row(c, s, e)) > 0) {
		key_read(s, &k);
		fn(&k, arg);
	}
	return got;
}

static int
sqlite_job_add(void *self, const struct job_record *j, const struct deadline *d, struct err *e)
{
	AUTO_PTR(sqlite_conn) c = pool_take(self, d, e);
	sqlite3_stmt *s;

	if (!c || conn_begin(c, e) < 0 || !(s = stmt_take(c, SQL_JOB_ADD, e)))
		return -1;
	bind_text(s, 1, j->id);
	bind_text(s, 2, j->request_id);
	bind_text(s, 3, j->key_id);
	bind_text(s, 4, j->program);
	bind_text(s, 5, j->model);
	bind_text(s, 6, j->provider);
	bind_text(s, 7, j->stage);
	bind_text(s, 8, j->outcome);
	bind_text(s, 9, j->upstream_id);
	(void)sqlite3_bind_int64(s, 10, j->created_ms);
	(void)sqlite3_bind_int64(s, 11, j->ended_ms);
	return stmt_run(c, s, e) < 0 ? -1 : conn_commit(c, e);
}

static void
job_read(sqlite3_stmt *s, struct job_record *j)
{
	*j = (struct job_record){ .created_ms = sqlite3_column_int64(s, 9),
				  .ended_ms = sqlite3_column_int64(s, 10) };
	column_text(s, 0, j->id, sizeof(j->id));
	column_text(s, 1, j->request_id, sizeof(j->request_id));
	column_text(s, 2, j->key_id, sizeof(j->key_id));
	column_text(s, 3, j->program, sizeof(j->program));
	column_text(s, 4, j->model, sizeof(j->model));
	column_text(s, 5, j->provider, sizeof(j->provider));
	column_text(s, 6, j->stage, sizeof(j->stage));
	column_text(s, 7, j->outcome, sizeof(j->outcome));
	column_text(s, 8, j->upstream_id, sizeof(j->upstream_id));
}

static int
sqlite_job_each(void *self, size_t limit, void (*fn)(const struct job_record *, void *), void *arg,
		const struct deadline *d, struct err *e)
{
	AUTO_PTR(sqlite_conn) c = pool_take(self, d, e);
	struct job_record j;
	sqlite3_stmt *s;
	int got;

	if (!c || !(s = stmt_take(c, SQL_JOB_EACH, e)))
		return -1;
	(void)sqlite3_bind_int64(s, 1, limit < INT64_MAX ? (int64_t)limit : INT64_MAX);
	while ((got = stmt_row(c, s, e)) > 0) {
		job_read(s, &j);
		fn(&j, arg);
	}
	return got;
}

const struct store_driver store_sqlite = {
	.scheme = "sqlite",
	.open = sqlite_open,
	.close = sqlite_close,
	.ping = sqlite_ping,
	.key_add = sqlite_key_add,
	.key_by_hash = sqlite_key_by_hash,
	.key_revoke = sqlite_key_revoke,
	.key_each = sqlite_key_each,
	.job_add = sqlite_job_add,
	.job_each = sqlite_job_each,
};
