/* Repeated requests. */
#include <string.h>

#include "store/sqlite_store.h"

static int
by_key(struct sqlite_conn *c, const char *owner, const char *key, int64_t now_ms,
       struct idem_record *out, bool *found, struct err *e)
{
	static const char sql[] = "SELECT " IDEM_COLUMNS
				  " FROM idem WHERE owner=? AND key=? AND key<>'' AND expires_ms>?";
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	bind_text(st, 1, owner);
	bind_text(st, 2, key);
	bind_i64(st, 3, now_ms);
	return row_one(c, st, &idem_fields, out, found, e);
}

int
sqlite_idem_begin(struct sqlite_conn *c, const struct idem_record *r, struct idem_record *other,
		  bool *begun, struct err *e)
{
	static const char old[] = "DELETE FROM idem WHERE owner=? AND key=? AND key<>''";
	static const char sql[] = "INSERT INTO idem (" IDEM_COLUMNS ") VALUES (?,?,?,?,?,?,?,?,?,?)"
				  " ON CONFLICT (request_id) DO NOTHING";
	sqlite3_stmt *st;
	bool is = false;

	*begun = true;
	if (*r->key && by_key(c, r->owner, r->key, clock_wall_ms(), other, &is, e) < 0)
		return -1;
	if (is && !strcmp(other->request_id, r->request_id)) {
		idem_record_done(other); /* it began before: the answer to that was lost */
		return 0;
	}
	*begun = !is;
	if (is)
		return 0;
	if (*r->key) {
		if (!(st = stmt_take(c, old, e)))
			return -1;
		bind_text(st, 1, r->owner);
		bind_text(st, 2, r->key);
		if (stmt_run(c, st, e) < 0)
			return -1;
	}
	if (!(st = stmt_take(c, sql, e)))
		return -1;
	row_bind(st, 1, &idem_fields, r);
	return stmt_run(c, st, e);
}

struct begin {
	const struct idem_record *r;
	struct idem_record *other;
	bool *begun;
};

static int
begin_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	struct begin *b = arg;

	return sqlite_idem_begin(c, b->r, b->other, b->begun, e);
}

static int
idem_begin(struct store *s, const struct idem_record *r, struct idem_record *other, bool *begun,
	   const struct deadline *d, struct err *e)
{
	struct begin b = { r, other, begun };

	*begun = true;
	if (pool_write(sqlite_pool(s), begin_in, &b, d, e) == 0)
		return 0;
	if (!*begun)
		idem_record_done(other);
	*begun = true;
	return -1;
}

static int
idem_by_key(struct store *s, const char *owner, const char *key, struct idem_record *out,
	    bool *found, const struct deadline *d, struct err *e)
{
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);

	return !c ? -1 : by_key(c, owner, key, clock_wall_ms(), out, found, e);
}

static int
idem_by_body(struct store *s, const char *owner, const unsigned char *hash, struct idem_record *out,
	     bool *found, const struct deadline *d, struct err *e)
{
	static const char sql[] =
		"SELECT " IDEM_COLUMNS " FROM idem WHERE owner=? AND hash=? AND key=''"
		" AND expires_ms>? ORDER BY expires_ms DESC, n DESC LIMIT 1";
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	sqlite3_stmt *st;

	if (!c || !(st = stmt_take(c, sql, e)))
		return -1;
	bind_text(st, 1, owner);
	(void)sqlite3_bind_blob(st, 2, hash, IDEM_HASH_BYTES, SQLITE_STATIC);
	bind_i64(st, 3, clock_wall_ms());
	return row_one(c, st, &idem_fields, out, found, e);
}

/* An update of one record that is not done. */
struct change {
	const char *sql, *request_id, *text;
	int64_t status, expires_ms;
	bool *found;
};

static int
change_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	struct change *k = arg;
	sqlite3_stmt *st = stmt_take(c, k->sql, e);

	if (!st)
		return -1;
	bind_text(st, 1, k->request_id);
	if (k->found) {
		bind_text(st, 2, k->text ? k->text : "");
		bind_i64(st, 3, k->status);
		bind_i64(st, 4, k->expires_ms);
	}
	if (stmt_run(c, st, e) < 0)
		return -1;
	if (k->found)
		*k->found = sqlite3_changes(c->db) > 0;
	return 0;
}

static int
idem_task(struct store *s, const char *request_id, const char *task_id, bool *found,
	  const struct deadline *d, struct err *e)
{
	static const char sql[] =
		"UPDATE idem SET task_id=?2 WHERE request_id=?1 AND ?3=0 AND ?4=0";
	struct change k = { sql, request_id, task_id, 0, 0, found };

	return pool_write(sqlite_pool(s), change_in, &k, d, e);
}

static int
idem_finish(struct store *s, const char *request_id, int64_t status, const char *answer,
	    int64_t expires_ms, bool *found, const struct deadline *d, struct err *e)
{
	static const char sql[] =
		"UPDATE idem SET answer=CASE WHEN done THEN answer ELSE ?2 END,"
		" status=CASE WHEN done THEN status ELSE ?3 END, done=1,"
		" expires_ms=CASE WHEN ?4=0 THEN expires_ms ELSE min(expires_ms, ?4) END"
		" WHERE request_id=?1";
	struct change k = { sql, request_id, answer, status, expires_ms, found };

	return pool_write(sqlite_pool(s), change_in, &k, d, e);
}

static int
idem_drop(struct store *s, const char *request_id, const struct deadline *d, struct err *e)
{
	static const char sql[] = "DELETE FROM idem WHERE request_id=?1";
	struct change k = { sql, request_id, NULL, 0, 0, NULL };

	return pool_write(sqlite_pool(s), change_in, &k, d, e);
}

const struct idem_driver sqlite_idem = {
	.idem_begin = idem_begin,
	.idem_by_key = idem_by_key,
	.idem_by_body = idem_by_body,
	.idem_task = idem_task,
	.idem_finish = idem_finish,
	.idem_drop = idem_drop,
};
