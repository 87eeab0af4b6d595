/* Keys and jobs. */
#include "store/sqlite_store.h"

#define ADD_KEY "INSERT INTO keys (" KEY_COLUMNS ") VALUES (?,?,?,?,?,?,?,?)"
/* Whoever takes over a dead process's jobs may die too and leave one to be added again. */
#define ADD_JOB                                                             \
	"INSERT INTO jobs (" JOB_COLUMNS ") VALUES (?,?,?,?,?,?,?,?,?,?,?)" \
	" ON CONFLICT (id) DO NOTHING"

static int
key_add_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] = ADD_KEY;
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	row_bind(st, 1, &key_fields, arg);
	return stmt_run(c, st, e);
}

static int
key_add(struct store *s, const struct key_record *k, const struct deadline *d, struct err *e)
{
	return pool_write(sqlite_pool(s), key_add_in, (void *)k, d, e);
}

static int
key_by_hash(struct store *s, const unsigned char hash[KEY_HASH_BYTES], struct key_record *out,
	    bool *found, const struct deadline *d, struct err *e)
{
	static const char sql[] = "SELECT " KEY_COLUMNS " FROM keys WHERE hash=?";
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	sqlite3_stmt *st;

	if (!c || !(st = stmt_take(c, sql, e)))
		return -1;
	(void)sqlite3_bind_blob(st, 1, hash, KEY_HASH_BYTES, SQLITE_STATIC);
	return row_one(c, st, &key_fields, out, found, e);
}

struct revoke {
	const char *what;
	int64_t now_ms;
	bool *found;
};

static int
key_revoke_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] =
		"UPDATE keys SET revoked_ms=?2 WHERE (id=?1 OR name=?1) AND revoked_ms=0";
	struct revoke *r = arg;
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	bind_text(st, 1, r->what);
	bind_i64(st, 2, r->now_ms);
	if (stmt_run(c, st, e) < 0)
		return -1;
	*r->found = sqlite3_changes(c->db) > 0;
	return 0;
}

static int
key_revoke(struct store *s, const char *id_or_name, int64_t now_ms, bool *found,
	   const struct deadline *d, struct err *e)
{
	struct revoke r = { id_or_name, now_ms, found };

	return pool_write(sqlite_pool(s), key_revoke_in, &r, d, e);
}

static int
key_each(struct store *s, void (*fn)(const struct key_record *k, void *arg), void *arg,
	 const struct deadline *d, struct err *e)
{
	static const char sql[] = "SELECT " KEY_COLUMNS " FROM keys ORDER BY created_ms, rowid";
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	struct key_record k;
	sqlite3_stmt *st;
	int got;

	if (!c || !(st = stmt_take(c, sql, e)))
		return -1;
	while ((got = stmt_row(c, st, e)) > 0) {
		(void)row_read(st, 0, &key_fields, &k, e);
		fn(&k, arg);
	}
	return got;
}

static int
job_add_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] = ADD_JOB;
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	row_bind(st, 1, &job_fields, arg);
	return stmt_run(c, st, e);
}

static int
job_add(struct store *s, const struct job_record *j, const struct deadline *d, struct err *e)
{
	return pool_write(sqlite_pool(s), job_add_in, (void *)j, d, e);
}

static int
job_each(struct store *s, size_t limit, void (*fn)(const struct job_record *j, void *arg),
	 void *arg, const struct deadline *d, struct err *e)
{
	static const char sql[] =
		"SELECT " JOB_COLUMNS " FROM jobs ORDER BY created_ms DESC, rowid DESC LIMIT ?";
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	struct job_record j;
	sqlite3_stmt *st;
	int got;

	if (!c || !(st = stmt_take(c, sql, e)))
		return -1;
	bind_i64(st, 1, limit < INT64_MAX ? (int64_t)limit : INT64_MAX);
	while ((got = stmt_row(c, st, e)) > 0) {
		(void)row_read(st, 0, &job_fields, &j, e);
		fn(&j, arg);
	}
	return got;
}

const struct key_driver sqlite_key = {
	.key_add = key_add,
	.key_by_hash = key_by_hash,
	.key_revoke = key_revoke,
	.key_each = key_each,
	.job_add = job_add,
	.job_each = job_each,
};
