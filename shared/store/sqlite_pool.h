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
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "base/deadline.h"
#include "base/err.h"

#define POOL_MAX        4 /* connections in a process: writers take turns anyway, reads last µs */
#define POOL_OPEN_MS    10000 /* how long opening and migrating may wait for other processes */
#define POOL_STATEMENTS 128   /* prepared statements that a connection keeps */

struct sqlite_conn {
	struct sqlite_conn *next; /* the pool's */
	struct pool *pool;
	sqlite3 *db;
	struct stmt_slot {
		const char *sql; /* the text's address is its name */
		sqlite3_stmt *stmt;
	} stmt[POOL_STATEMENTS];
};

/* One step for each version of the schema; see pool_open(). */
struct schema {
	const char *const *steps; /* SQL, harmless when it is run once more */
	int version;              /* = the number of steps, in PRAGMA user_version */
	const struct schema_table {
		const char *name, *columns; /* what must be there afterwards; NULL at the end */
	} * tables;
};

struct pool_write;

struct pool { /* sqlite_pool.c's and sqlite_write.c's */
	char *path;
	const struct schema *schema;
	pthread_mutex_t mutex;    /* guards what follows */
	pthread_cond_t given;     /* on CLOCK_MONOTONIC, as deadlines are */
	struct sqlite_conn *idle; /* last in, first out */
	unsigned open;
	struct pool_write *first, **last; /* writes that wait for a transaction */
	bool leading;                     /* a thread is at it */
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

/* The prepared statement of a text that is there as long as the program, reset and with nothing bound; the
 * connection's.  NULL: *e. */
sqlite3_stmt *stmt_take(struct sqlite_conn *c, const char *sql, struct err *e);
/* Runs a statement that gives no rows. */
int stmt_run(struct sqlite_conn *c, sqlite3_stmt *s, struct err *e);
/* Steps: 1 a row, 0 no more, -1 *e. */
int stmt_row(struct sqlite_conn *c, sqlite3_stmt *s, struct err *e);

/*
 * A write.  fn runs inside an immediate transaction, on whatever thread leads it: what other threads want
 * to write meanwhile goes into the same one, so that all of them share one commit to the disk.  Returns
 * when it is committed.  When fn returns -1 its own changes are undone, and nobody else's.
 */
int pool_write(struct pool *p, int (*fn)(struct sqlite_conn *c, void *arg, struct err *e),
	       void *arg, const struct deadline *d, struct err *e);

int conn_begin(struct sqlite_conn *c, struct err *e); /* BEGIN IMMEDIATE */
int conn_commit(struct sqlite_conn *c, struct err *e);
int conn_exec(struct sqlite_conn *c, const char *sql, struct err *e);
int conn_failed(struct sqlite_conn *c, struct err *e); /* fills *e with what SQLite says; -1 */

/* sqlite_migrate.c: are the schema's version, tables and columns what this program knows?  And makes them so. */
int conn_check(struct sqlite_conn *c, struct err *e);
int conn_migrate(struct sqlite_conn *c, struct err *e);

#endif
