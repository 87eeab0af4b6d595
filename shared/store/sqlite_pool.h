#ifndef EASEL_STORE_SQLITE_POOL_H
#define EASEL_STORE_SQLITE_POOL_H
/*
 * sqlite_pool - SQLite connections, shared by the threads of one process
 *
 * A connection belongs to one thread from pool_take() to sqlite_conn_free() (hence NOMUTEX).  They are opened
 * when first needed, at most POOL_MAX of them, and the one given back last is taken first: its caches
 * are warm.  WAL, synchronous=FULL: what was committed survives a power cut.  The database file is
 * made with mode 0600 whatever the umask is; its -wal and -shm take that mode from it.
 *
 * Never carried across fork(): SQLite's locks belong to the process.  For the same reason the database
 * file is never opened past SQLite while it may be open here: closing any other descriptor of it would
 * drop those locks.
 */
#include <sqlite3.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/err.h"

#define POOL_MAX        4 /* connections in a process: writers take turns anyway, reads last µs */
#define POOL_OPEN_MS    10000 /* how long opening and migrating may wait for other processes */
#define POOL_STATEMENTS 16    /* prepared statements that a connection keeps */

struct sqlite_conn {
	struct sqlite_conn *next; /* the pool's */
	struct pool *pool;
	sqlite3 *db;
	sqlite3_stmt *stmt[POOL_STATEMENTS];
};

struct pool;

/* One step for each version of the schema; see pool_open(). */
struct schema {
	const char *const *steps;  /* SQL, harmless when it is run once more */
	int version;               /* = the number of steps, in PRAGMA user_version */
	const char *const *tables; /* what must be there afterwards; NULL at the end */
	const char *const *sql; /* the statements that stmt_take() knows; at most POOL_STATEMENTS */
};

/*
 * `path` is the database file.  With `migrate`, makes it and runs the steps it lacks, all in one
 * immediate transaction (all of them when a table is missing); without, no table is touched.
 * -1: ERR_STORE, ERR_SCHEMA_MISSING, ERR_SCHEMA_TOO_NEW.
 */
int pool_open(struct pool **out, const char *path, const struct schema *schema, bool migrate,
	      struct err *e);
void pool_free(struct pool *p); /* every connection has been given back */
DEFINE_FREEP(pool);

/* A connection whose waits end with *d, or NULL: ERR_STORE, also when none is free before *d. */
struct sqlite_conn *pool_take(struct pool *p, const struct deadline *d, struct err *e);
/* Ends what is open in it (rolls back) and puts it back; accepts NULL.  As AUTO_PTR(sqlite_conn) it does so. */
void sqlite_conn_free(struct sqlite_conn *c);
DEFINE_FREEP(sqlite_conn);

/* Statement `which` of schema->sql, reset and with nothing bound; the connection's.  NULL: *e. */
sqlite3_stmt *stmt_take(struct sqlite_conn *c, int which, struct err *e);
/* Runs a statement that gives no rows. */
int stmt_run(struct sqlite_conn *c, sqlite3_stmt *s, struct err *e);
/* Steps: 1 a row, 0 no more, -1 *e. */
int stmt_row(struct sqlite_conn *c, sqlite3_stmt *s, struct err *e);

int conn_begin(struct sqlite_conn *c, struct err *e); /* BEGIN IMMEDIATE */
int conn_commit(struct sqlite_conn *c, struct err *e);
/* Are the schema's version and tables what this program knows? */
int conn_check(struct sqlite_conn *c, struct err *e);

#endif
