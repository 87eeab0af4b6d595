/* Sums, and the pictures that are kept. */
#include <string.h>

#include "store/sqlite_store.h"

static int
usage_add_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] = "INSERT INTO usage (" USAGE_COLUMNS ") VALUES (?,?,?,?,?,?)"
				  " ON CONFLICT (day, key_id, model) DO UPDATE SET "
				  "requests=requests+excluded.requests,"
				  " pictures=pictures+excluded.pictures, "
				  "price_micro=price_micro+excluded.price_micro";
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	row_bind(st, 1, &usage_fields, arg);
	return stmt_run(c, st, e);
}

#define SUMS                                                                          \
	" sum(requests), sum(pictures), sum(price_micro) FROM usage"                  \
	" WHERE (?1 IS NULL OR day>=?1) AND (?2 IS NULL OR day<=?2) GROUP BY 1, 2, 3" \
	" ORDER BY 1, 2, 3"

static int
usage_sum(struct store *s, enum usage_by by, const char *since, const char *until,
	  void (*fn)(const struct usage_record *u, void *arg), void *arg, const struct deadline *d,
	  struct err *e)
{
	static const char by_key[] = "SELECT '', key_id, ''," SUMS;
	static const char by_model[] = "SELECT '', '', model," SUMS;
	static const char by_day[] = "SELECT day, '', ''," SUMS;
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	struct usage_record u;
	sqlite3_stmt *st;
	int got;

	if (!c || !(st = stmt_take(c,
				   by == USAGE_BY_KEY     ? by_key
				   : by == USAGE_BY_MODEL ? by_model
							  : by_day,
				   e)))
		return -1;
	bind_text(st, 1, since);
	bind_text(st, 2, until);
	while ((got = stmt_row(c, st, e)) > 0) {
		(void)row_read(st, 0, &usage_fields, &u, e);
		fn(&u, arg);
	}
	return got;
}

/* ---- pictures ---- */

static int
picture_add_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] =
		"INSERT INTO pictures (" PICTURE_COLUMNS ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
		" ON CONFLICT (id) DO NOTHING";
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	row_bind(st, 1, &picture_fields, arg);
	return stmt_run(c, st, e);
}

struct picture_entries {
	const struct picture_entry *v;
	size_t n;
};

static bool
same_row(const struct usage_record *a, const struct usage_record *b)
{
	return !strcmp(a->day, b->day) && !strcmp(a->key_id, b->key_id) &&
	       !strcmp(a->model, b->model);
}

/* What one after the other adds to the same row is added to it at once. */
static int
picture_add_all_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	const struct picture_entries *p = arg;
	struct usage_record sum = { .pictures = 0 };

	for (size_t i = 0; i < p->n; i++) {
		const struct usage_record *u = &p->v[i].used;

		if (picture_add_in(c, (void *)&p->v[i].picture, e) < 0)
			return -1;
		if (sqlite3_changes(c->db) == 0)
			continue;
		if (!same_row(&sum, u)) {
			if (sum.day[0] && usage_add_in(c, &sum, e) < 0)
				return -1;
			sum = *u;
			continue;
		}
		sum.requests += u->requests;
		sum.pictures += u->pictures;
		sum.price_micro += u->price_micro;
	}
	return sum.day[0] ? usage_add_in(c, &sum, e) : 0;
}

static int
picture_add_all(struct store *s, const struct picture_entry *v, size_t n, const struct deadline *d,
		struct err *e)
{
	struct picture_entries p = { v, n };

	return pool_write(sqlite_pool(s), picture_add_all_in, &p, d, e);
}

static int
picture_get(struct store *s, const char *id, struct picture_record *out, bool *found,
	    const struct deadline *d, struct err *e)
{
	static const char sql[] = "SELECT " PICTURE_COLUMNS " FROM pictures WHERE id=?";
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	sqlite3_stmt *st;

	if (!c || !(st = stmt_take(c, sql, e)))
		return -1;
	bind_text(st, 1, id);
	return row_one(c, st, &picture_fields, out, found, e);
}

struct picture_delete {
	const char *id, *owner;
	bool *found;
};

static int
picture_delete_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] = "DELETE FROM pictures WHERE id=?1 AND (?2 IS NULL OR owner=?2)";
	struct picture_delete *p = arg;
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	bind_text(st, 1, p->id);
	bind_text(st, 2, p->owner);
	if (stmt_run(c, st, e) < 0)
		return -1;
	*p->found = sqlite3_changes(c->db) > 0;
	return 0;
}

static int
picture_delete(struct store *s, const char *id, const char *owner, bool *found,
	       const struct deadline *d, struct err *e)
{
	struct picture_delete p = { id, owner, found };

	return pool_write(sqlite_pool(s), picture_delete_in, &p, d, e);
}

#define LIST_HEAD "SELECT " PICTURE_COLUMNS " FROM pictures WHERE "
#define LIST_TAIL                                                                            \
	" AND (?2 IS NULL OR (created_ms, seq)<(SELECT created_ms, seq FROM pictures WHERE " \
	"id=?2))"                                                                            \
	" AND (?3='' OR model=?3) AND (?4='' OR instr(lower(prompt), lower(?4))>0)"          \
	" ORDER BY created_ms DESC, seq DESC LIMIT ?5"

static int
picture_list(struct store *s, const struct picture_query *q,
	     void (*fn)(const struct picture_record *p, void *arg), void *arg,
	     const struct deadline *d, struct err *e)
{
	static const char all[] = LIST_HEAD "?1 IS NULL" LIST_TAIL;
	static const char owners[] = LIST_HEAD "owner=?1" LIST_TAIL;
	AUTO_PTR(sqlite_conn) c = pool_take(sqlite_pool(s), d, e);
	struct picture_record p;
	sqlite3_stmt *st;
	int got;

	if (!c || !(st = stmt_take(c, q->owner ? owners : all, e)))
		return -1;
	bind_text(st, 1, q->owner);
	bind_text(st, 2, q->after);
	bind_text(st, 3, q->model ? q->model : "");
	bind_text(st, 4, q->q ? q->q : "");
	bind_i64(st, 5, q->limit < INT64_MAX ? (int64_t)q->limit : INT64_MAX);
	while ((got = stmt_row(c, st, e)) > 0) {
		if (row_read(st, 0, &picture_fields, &p, e) < 0)
			return -1;
		fn(&p, arg);
		picture_record_done(&p);
	}
	return got;
}

/* The oldest picture, if it is to go; one at a time, so that nobody waits and fn runs between. */
struct picture_oldest {
	int64_t before_ms, max_bytes;
	struct picture_record *out;
	bool *found;
};

static int
picture_oldest_in(struct sqlite_conn *c, void *arg, struct err *e)
{
	static const char sql[] =
		"DELETE FROM pictures WHERE seq=(SELECT seq FROM pictures"
		" ORDER BY created_ms, seq LIMIT 1) AND (created_ms<?1 OR (?2>0 AND"
		" (SELECT total(bytes) FROM pictures)>?2)) RETURNING " PICTURE_COLUMNS;
	struct picture_oldest *p = arg;
	sqlite3_stmt *st = stmt_take(c, sql, e);

	if (!st)
		return -1;
	bind_i64(st, 1, p->before_ms);
	bind_i64(st, 2, p->max_bytes);
	return row_one(c, st, &picture_fields, p->out, p->found, e);
}

static int
picture_prune(struct store *s, int64_t before_ms, int64_t max_bytes, size_t limit,
	      void (*fn)(const struct picture_record *p, void *arg), void *arg,
	      const struct deadline *d, struct err *e)
{
	for (size_t i = 0; i < limit; i++) {
		struct picture_record p = { 0 };
		bool found = false;
		struct picture_oldest o = { before_ms, max_bytes, &p, &found };

		if (pool_write(sqlite_pool(s), picture_oldest_in, &o, d, e) < 0) {
			picture_record_done(&p);
			return -1;
		}
		if (!found)
			return 0;
		fn(&p, arg);
		picture_record_done(&p);
	}
	return 0;
}

const struct usage_driver sqlite_usage = {
	.usage_sum = usage_sum,
	.picture_add_all = picture_add_all,
	.picture_get = picture_get,
	.picture_delete = picture_delete,
	.picture_list = picture_list,
	.picture_prune = picture_prune,
};
