#include <stdio.h>
#include <string.h>

#include "store/sqlite_pool.h"

static int
conn_int(struct sqlite_conn *c, const char *sql, int *out, struct err *e)
{
	sqlite3_stmt *s = NULL;
	int rc = -1;

	if (sqlite3_prepare_v2(c->db, sql, -1, &s, NULL) == SQLITE_OK &&
	    sqlite3_step(s) == SQLITE_ROW) {
		*out = sqlite3_column_int(s, 0);
		rc = 0;
	} else {
		(void)conn_failed(c, e);
	}
	(void)sqlite3_finalize(s);
	return rc;
}

/*
 * What of a table is not there, in `what`, or "": its name, or its name and a column.  A damaged table is
 * found by asking for all of its columns; only SQLite's text says which one it lacks.
 */
static int
table_lacks(struct sqlite_conn *c, const struct schema_table *t, char *what, size_t size,
	    struct err *e)
{
	static const char no_table[] = "no such table: ", no_column[] = "no such column: ";
	char sql[1024];
	sqlite3_stmt *s = NULL;
	const char *said;
	int code;

	what[0] = '\0';
	(void)snprintf(sql, sizeof(sql), "SELECT %s FROM %s LIMIT 0", t->columns, t->name);
	code = sqlite3_prepare_v2(c->db, sql, -1, &s, NULL);
	/* Only a step sees what another connection did to the table since this one last looked. */
	if (code == SQLITE_OK)
		code = sqlite3_step(s);
	(void)sqlite3_finalize(s);
	if (code == SQLITE_DONE)
		return 0;
	said = sqlite3_errmsg(c->db);
	if (!strncmp(said, no_table, sizeof(no_table) - 1))
		(void)snprintf(what, size, "%s", t->name);
	else if (!strncmp(said, no_column, sizeof(no_column) - 1))
		(void)snprintf(what, size, "%s.%s", t->name, said + sizeof(no_column) - 1);
	else
		return conn_failed(c, e);
	return 0;
}

/* The first thing that is lacking; with `damaged`, of the tables that are there. */
static int
conn_lacks(struct sqlite_conn *c, bool damaged, char *what, size_t size, struct err *e)
{
	what[0] = '\0';
	for (const struct schema_table *t = c->pool->schema->tables; t->name && !what[0]; t++) {
		if (table_lacks(c, t, what, size, e) < 0)
			return -1;
		if (damaged && !strchr(what, '.'))
			what[0] = '\0';
	}
	return 0;
}

static int
conn_version(struct sqlite_conn *c, int *version, struct err *e)
{
	int known = c->pool->schema->version;

	if (conn_int(c, "PRAGMA user_version", version, e) < 0)
		return -1;
	if (*version <= known)
		return 0;
	(void)err_set(e, ERR_SCHEMA_TOO_NEW, "schema");
	(void)snprintf(e->expected, sizeof(e->expected), "%d", known);
	(void)snprintf(e->found, sizeof(e->found), "%d", *version);
	return -1;
}

int
conn_check(struct sqlite_conn *c, struct err *e)
{
	char what[160];
	int version;

	if (conn_version(c, &version, e) < 0 || conn_lacks(c, false, what, sizeof(what), e) < 0)
		return -1;
	if (what[0])
		return err_set(e, ERR_SCHEMA_MISSING, "%s", what);
	if (version < c->pool->schema->version)
		return err_set(e, ERR_SCHEMA_MISSING, "schema version %d",
			       c->pool->schema->version);
	return 0;
}

static int
run_steps(struct sqlite_conn *c, int from, struct err *e)
{
	for (int v = from; v < c->pool->schema->version; v++)
		if (conn_exec(c, c->pool->schema->steps[v], e) < 0)
			return -1;
	return 0;
}

/*
 * A table that lacks a column was made by something else, or damaged by hand.  What it holds may be all
 * there is, so it is put aside under another name, and the steps make a new one.
 */
static int
put_aside(struct sqlite_conn *c, const char *what, struct err *e)
{
	int n = (int)strcspn(what, ".");
	char sql[320], name[160];
	int taken = 1;

	for (int i = 1; taken; i++) {
		(void)snprintf(name, sizeof(name), "damaged_%.*s_%d", n > 100 ? 100 : n, what, i);
		(void)snprintf(sql, sizeof(sql),
			       "SELECT count(*) FROM sqlite_schema WHERE name='%s'", name);
		if (conn_int(c, sql, &taken, e) < 0)
			return -1;
	}
	(void)snprintf(sql, sizeof(sql), "ALTER TABLE %.*s RENAME TO %s", n, what, name);
	return conn_exec(c, sql, e);
}

/* Indexes and triggers go along with a renamed table and would keep their names from the new one. */
static int
drop_belongings(struct sqlite_conn *c, struct err *e)
{
	for (;;) {
		char sql[512] = "";
		sqlite3_stmt *s = NULL;
		int code = sqlite3_prepare_v2(
			c->db,
			"SELECT type, name FROM sqlite_schema WHERE tbl_name LIKE 'damaged\\_%' "
			"ESCAPE '\\' AND type IN ('index','trigger') AND sql IS NOT NULL LIMIT 1",
			-1, &s, NULL);

		if (code != SQLITE_OK)
			return conn_failed(c, e);
		if (sqlite3_step(s) == SQLITE_ROW)
			(void)snprintf(sql, sizeof(sql), "DROP %s \"%s\"",
				       (const char *)sqlite3_column_text(s, 0),
				       (const char *)sqlite3_column_text(s, 1));
		(void)sqlite3_finalize(s);
		if (!sql[0])
			return 0;
		if (conn_exec(c, sql, e) < 0)
			return -1;
	}
}

int
conn_migrate(struct sqlite_conn *c, struct err *e)
{
	char set_version[48], what[160];
	int version;

	if (conn_begin(c, e) < 0 || conn_version(c, &version, e) < 0)
		return -1;
	/* First what is damaged: a step may stumble over it. */
	for (;;) {
		if (conn_lacks(c, true, what, sizeof(what), e) < 0)
			return -1;
		if (!what[0])
			break;
		if (put_aside(c, what, e) < 0 || drop_belongings(c, e) < 0)
			return -1;
	}
	if (conn_lacks(c, false, what, sizeof(what), e) < 0 ||
	    run_steps(c, what[0] ? 0 : version, e) < 0)
		return -1;
	(void)snprintf(set_version, sizeof(set_version), "PRAGMA user_version=%d",
		       c->pool->schema->version);
	if (conn_exec(c, set_version, e) < 0)
		return -1;
	return conn_commit(c, e);
}
