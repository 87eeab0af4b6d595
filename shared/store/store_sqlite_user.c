/* Users, sessions, failed logins. */
#include "store/lockout.h"

#include "store/sqlite_store.h"

struct user_add {
	const struct user_record *u;
	bool *done;
};

static int
user_add_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] =
		"INSERT INTO users (" USER_COLUMNS ") VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING";
	struct user_add *a = arg;
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	row_bind(st, 1, &user_fields, a->u);
	if (stmt_run(c, st, e) < 0)
		return -1;
	*a->done = sqlite3_changes(c->db) > 0;
	return 0;
}

static int
user_add(struct store *s, const struct user_record *u, bool *added, const struct deadline *d,
	 struct err *e)
{
	struct user_add a = { u, added };

	return pool_write(sqlite_pool(s), user_add_in, &a, d, e);
}

static int
user_by(struct store *s, const char *sql, const char *what, struct user_record *out, bool *found,
	const struct deadline *d, struct err *e)
{
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	sqlite3_stmt *st;

	if (!c || !(st = stmt_take(c, sql, e)))
		return -1;
	bind_text(st, 1, what);
	return row_one(c, st, &user_fields, out, found, e);
}

static int
user_by_email(struct store *s, const char *email, struct user_record *out, bool *found,
	      const struct deadline *d, struct err *e)
{
	static const char sql[] = "SELECT " USER_COLUMNS " FROM users WHERE email=?";

	return user_by(s, sql, email, out, found, d, e);
}

static int
user_by_id(struct store *s, const char *id, struct user_record *out, bool *found,
	   const struct deadline *d, struct err *e)
{
	static const char sql[] = "SELECT " USER_COLUMNS " FROM users WHERE id=?";

	return user_by(s, sql, id, out, found, d, e);
}

static int
user_set_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] = "UPDATE users SET role=?2, password=?3, disabled=?4 WHERE id=?1";
	static const char end[] = "DELETE FROM sessions WHERE user_id=?";
	struct user_add *a = arg;
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	bind_text(st, 1, a->u->id);
	bind_i64(st, 2, a->u->role);
	bind_text(st, 3, a->u->password);
	bind_i64(st, 4, a->u->disabled);
	if (stmt_run(c, st, e) < 0)
		return -1;
	*a->done = sqlite3_changes(c->db) > 0;
	if (!(st = stmt_take(c, end, e)))
		return -1;
	bind_text(st, 1, a->u->id);
	return stmt_run(c, st, e);
}

static int
user_set(struct store *s, const struct user_record *u, bool *found, const struct deadline *d,
	 struct err *e)
{
	struct user_add a = { u, found };

	return pool_write(sqlite_pool(s), user_set_in, &a, d, e);
}

static int
user_each(struct store *s, void (*fn)(const struct user_record *u, void *arg), void *arg,
	  const struct deadline *d, struct err *e)
{
	static const char sql[] = "SELECT " USER_COLUMNS " FROM users ORDER BY created_ms, rowid";
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	struct user_record u;
	sqlite3_stmt *st;
	int got;

	if (!c || !(st = stmt_take(c, sql, e)))
		return -1;
	while ((got = stmt_row(c, st, e)) > 0) {
		(void)row_read(st, 0, &user_fields, &u, e);
		fn(&u, arg);
	}
	return got;
}

/* ---- sessions ---- */

static int
session_add_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] = "INSERT INTO sessions (" SESSION_COLUMNS
				  ") VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING";
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	row_bind(st, 1, &session_fields, arg);
	return stmt_run(c, st, e);
}

static int
session_add(struct store *s, const struct session_record *r, const struct deadline *d,
	    struct err *e)
{
	return pool_write(sqlite_pool(s), session_add_in, (void *)r, d, e);
}

#define SESSION_TEXT_COLUMNS "hash, user_id, sessions.created_ms, expires_ms, revoked_ms, "
#define USER_TEXT_COLUMNS    "id, email, role, password, disabled, users.created_ms"

static int
session_get(struct store *s, const unsigned char hash[SESSION_HASH_BYTES],
	    struct session_record *out, struct user_record *user, bool *found,
	    const struct deadline *d, struct err *e)
{
	static const char sql[] = "SELECT " SESSION_TEXT_COLUMNS USER_TEXT_COLUMNS
				  " FROM sessions JOIN users ON id=user_id WHERE hash=?";
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	sqlite3_stmt *st;
	int got;

	if (!c || !(st = stmt_take(c, sql, e)))
		return -1;
	(void)sqlite3_bind_blob(st, 1, hash, SESSION_HASH_BYTES, SQLITE_STATIC);
	got = stmt_row(c, st, e);
	*found = got > 0;
	if (got > 0) {
		(void)row_read(st, 0, &session_fields, out, e);
		(void)row_read(st, (int)session_fields.n, &user_fields, user, e);
	}
	return got < 0 ? -1 : 0;
}

struct session_revoke {
	const unsigned char *hash;
	int64_t now_ms;
	bool *found;
};

static int
session_revoke_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] =
		"UPDATE sessions SET revoked_ms=?2 WHERE hash=?1 AND revoked_ms=0";
	struct session_revoke *r = arg;
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	(void)sqlite3_bind_blob(st, 1, r->hash, SESSION_HASH_BYTES, SQLITE_STATIC);
	bind_i64(st, 2, r->now_ms);
	if (stmt_run(c, st, e) < 0)
		return -1;
	*r->found = sqlite3_changes(c->db) > 0;
	return 0;
}

static int
session_revoke(struct store *s, const unsigned char hash[SESSION_HASH_BYTES], int64_t now_ms,
	       bool *found, const struct deadline *d, struct err *e)
{
	struct session_revoke r = { hash, now_ms, found };

	return pool_write(sqlite_pool(s), session_revoke_in, &r, d, e);
}

/* ---- failed logins ---- */

static int
lockout_read(struct sqlite_conn *c, const char *subject, int64_t now_ms, struct lockout *out,
	     struct err *e)
{
	static const char sql[] =
		"SELECT count, until_ms FROM lockouts WHERE subject=? AND forget_at_ms>?";
	sqlite3_stmt *st = stmt_take(c, sql, e);
	int got;

	*out = (struct lockout){ 0 };
	if (!st)
		return -1;
	bind_text(st, 1, subject);
	bind_i64(st, 2, now_ms);
	got = stmt_row(c, st, e);
	if (got > 0)
		*out = (struct lockout){ sqlite3_column_int64(st, 0), sqlite3_column_int64(st, 1) };
	(void)sqlite3_reset(st);
	return got < 0 ? -1 : 0;
}

struct lockout_fail {
	const char *subject;
	const struct lockout_rule *rule;
	int64_t now_ms;
	struct lockout *out;
};

static int
lockout_fail_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] =
		"INSERT OR REPLACE INTO lockouts (subject, count, until_ms, forget_at_ms)"
		" VALUES (?,?,?,?)";
	struct lockout_fail *l = arg;
	sqlite3_stmt *st;

	if (lockout_read(c, l->subject, l->now_ms, l->out, e) < 0 || !(st = stmt_take(c, sql, e)))
		return -1;
	lockout_count(l->rule, l->now_ms, l->out);
	bind_text(st, 1, l->subject);
	bind_i64(st, 2, l->out->count);
	bind_i64(st, 3, l->out->until_ms);
	bind_i64(st, 4, lockout_forget_at(l->rule, l->now_ms, l->out));
	return stmt_run(c, st, e);
}

static int
lockout_fail(struct store *s, const char *subject, const struct lockout_rule *rule, int64_t now_ms,
	     struct lockout *out, const struct deadline *d, struct err *e)
{
	struct lockout_fail l = { subject, rule, now_ms, out };

	return pool_write(sqlite_pool(s), lockout_fail_in, &l, d, e);
}

static int
lockout_get(struct store *s, const char *subject, int64_t now_ms, struct lockout *out,
	    const struct deadline *d, struct err *e)
{
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);

	return !c ? -1 : lockout_read(c, subject, now_ms, out, e);
}

static int
lockout_clear_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] = "DELETE FROM lockouts WHERE subject=?";
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	bind_text(st, 1, arg);
	return stmt_run(c, st, e);
}

static int
lockout_clear(struct store *s, const char *subject, const struct deadline *d, struct err *e)
{
	return pool_write(sqlite_pool(s), lockout_clear_in, (void *)subject, d, e);
}

const struct user_driver sqlite_user = {
	.user_add = user_add,
	.user_by_email = user_by_email,
	.user_by_id = user_by_id,
	.user_set = user_set,
	.user_each = user_each,
	.session_add = session_add,
	.session_get = session_get,
	.session_revoke = session_revoke,
	.lockout_fail = lockout_fail,
	.lockout_get = lockout_get,
	.lockout_clear = lockout_clear,
};
