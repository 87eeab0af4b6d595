#include "store/sqlite_pool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/*
 * SQLite's words go to the log.  A table that went missing has an error of its own, because its remedy
 * is another one; SQLite tells it apart only by its text.
 */
int
conn_failed(struct sqlite_conn *c, struct err *e)
{
	static const char no_table[] = "no such table: ";
	const char *said = c->db ? sqlite3_errmsg(c->db) : "out of memory";
	int code = c->db ? sqlite3_extended_errcode(c->db) : SQLITE_NOMEM;

	if ((code & 0xff) == SQLITE_ERROR && !strncmp(said, no_table, sizeof(no_table) - 1)) {
		const char *name = said + sizeof(no_table) - 1;

		return err_set(e, ERR_SCHEMA_MISSING, "%s",
			       strncmp(name, "main.", 5) ? name : name + 5);
	}
	if ((code & 0xff) == SQLITE_ERROR && strstr(said, "no column named ")) {
		(void)err_set(e, ERR_SCHEMA_MISSING, "%.*s",
			      (int)strcspn(said + (strncmp(said, "table ", 6) ? 0 : 6), " "),
			      said + (strncmp(said, "table ", 6) ? 0 : 6));
		err_detail(e, "sqlite: %s", said);
		return -1;
	}
	(void)err_set(e, ERR_STORE, "sqlite");
	err_detail(e, "sqlite: %s (%d)", said, code);
	return -1;
}

int
conn_exec(struct sqlite_conn *c, const char *sql, struct err *e)
{
	return sqlite3_exec(c->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : conn_failed(c, e);
}

static void
conn_close(struct sqlite_conn *c)
{
	for (size_t i = 0; i < POOL_STATEMENTS; i++)
		(void)sqlite3_finalize(c->stmt[i].stmt);
	(void)sqlite3_close(c->db);
	free(c);
}

/*
 * Some of SQLite's waits ask no busy handler: a reader that finds the WAL's index locked tries a
 * hundred times over, ten seconds in all.  But all of them sleep by the VFS: ours is the usual one,
 * except that nobody sleeps past the deadline of what this thread is doing.
 */
#define VFS_NAME "easel"

static _Thread_local struct deadline sleep_until;
static int (*usual_sleep)(sqlite3_vfs *vfs, int us);

static int
sleep_in_time(sqlite3_vfs *vfs, int us)
{
	int64_t left_us = sleep_until.at_us - clock_us();

	if (left_us <= 0)
		return 0;
	return usual_sleep(vfs, us < left_us ? us : (int)left_us);
}

static void
vfs_register(void)
{
	static sqlite3_vfs vfs;

	/* No block of twenty pages for each connection: most programs read three. */
	(void)sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
	vfs = *sqlite3_vfs_find(NULL);
	usual_sleep = vfs.xSleep;
	vfs.xSleep = sleep_in_time;
	vfs.zName = VFS_NAME;
	(void)sqlite3_vfs_register(&vfs, 0);
}

/*
 * Another process writes.  It is done in a millisecond or two, so that SQLite's own pauses, which grow to
 * a tenth of a second, would leave the file idle.
 */
static int
conn_busy(void *arg, int times)
{
	struct timespec pause = { .tv_nsec = times < 4 ? 250000 : times < 50 ? 1000000 : 4000000 };

	(void)arg;
	if (deadline_over(&sleep_until))
		return 0;
	(void)nanosleep(&pause, NULL);
	return 1;
}

static void
conn_wait(struct sqlite_conn *c, const struct deadline *d)
{
	sleep_until = *d;
	(void)sqlite3_busy_handler(c->db, conn_busy, NULL);
}

/*
 * Turning WAL on needs the file for itself for a moment, and there SQLite does not ask its busy
 * handler: processes that start together have to try again by themselves.
 */
static int
conn_wal(struct sqlite_conn *c, const struct deadline *d, struct err *e)
{
	static const struct timespec pause = { .tv_nsec = 2000000 };

	for (;;) {
		int code = sqlite3_exec(c->db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);

		if (code == SQLITE_OK)
			return 0;
		if ((code != SQLITE_BUSY && code != SQLITE_LOCKED) || deadline_over(d))
			return conn_failed(c, e);
		(void)nanosleep(&pause, NULL);
	}
}

static struct sqlite_conn *
conn_open(struct pool *p, const struct deadline *d, struct err *e)
{
	struct sqlite_conn *c = calloc(1, sizeof(*c));

	if (!c) {
		(void)err_set(e, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	c->pool = p;
	/* Never SQLITE_OPEN_CREATE: SQLite would make the file with the umask's mode. */
	if (sqlite3_open_v2(p->path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
			    VFS_NAME) != SQLITE_OK) {
		(void)conn_failed(c, e);
		conn_close(c);
		return NULL;
	}
	conn_wait(c, d);
	if (conn_wal(c, d, e) < 0 ||
	    conn_exec(c,
		      "PRAGMA synchronous=FULL; PRAGMA "
		      "trusted_schema=OFF; PRAGMA wal_autocheckpoint=4000; "
		      "PRAGMA cache_spill=OFF",
		      e) < 0) {
		conn_close(c);
		return NULL;
	}
	return c;
}

/* Makes an empty database file unless there is one. */
static int
make_file(const char *path, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if ((fd >= 0 && fchmod(fd, 0600) == 0) || (fd < 0 && errno == EEXIST))
		return 0;
	(void)err_set(e, ERR_STORE, "file");
	err_detail(e, "%s: %s", path, strerror(errno));
	return -1;
}

static int
pool_prepare(struct pool *p, bool migrate, struct err *e)
{
	struct deadline d = deadline_in_ms(POOL_OPEN_MS);
	AUTO_PTR(sqlite_conn) c = NULL;
	struct stat st;

	if (migrate && make_file(p->path, e) < 0)
		return -1;
	if (!migrate && stat(p->path, &st) < 0 && errno == ENOENT)
		return err_set(e, ERR_SCHEMA_MISSING, "%s", p->schema->tables[0].name);
	c = pool_take(p, &d, e);
	if (!c)
		return -1;
	return migrate ? conn_migrate(c, e) : conn_check(c, e);
}

int
pool_open(struct pool **out, const char *path, const struct schema *schema, bool migrate,
	  struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	AUTO_PTR(pool) p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	(void)pthread_once(&once, vfs_register);

	if (!p || !(p->path = strdup(path))) {
		free(TAKE_PTR(p));
		return err_set(e, ERR_INTERNAL, "out of memory");
	}
	p->schema = schema;
	p->last = &p->first;
	(void)pthread_mutex_init(&p->mutex, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&p->given, &attr);
	(void)pthread_condattr_destroy(&attr);
	if (pool_prepare(p, migrate, e) < 0)
		return -1;
	*out = TAKE_PTR(p);
	return 0;
}

void
pool_free(struct pool *p)
{
	struct sqlite_conn *c;

	if (!p)
		return;
	while ((c = p->idle)) {
		p->idle = c->next;
		conn_close(c);
	}
	(void)pthread_cond_destroy(&p->given);
	(void)pthread_mutex_destroy(&p->mutex);
	free(p->path);
	free(p);
}

/* With the mutex held: waits until a connection is idle or may be opened. */
static bool
pool_wait(struct pool *p, const struct deadline *d)
{
	struct timespec at = { .tv_sec = d->at_us / 1000000, .tv_nsec = d->at_us % 1000000 * 1000 };

	while (!p->idle && p->open >= POOL_MAX)
		if (pthread_cond_timedwait(&p->given, &p->mutex, &at) == ETIMEDOUT)
			return p->idle || p->open < POOL_MAX;
	return true;
}

static void
pool_closed(struct pool *p)
{
	(void)pthread_mutex_lock(&p->mutex);
	p->open--;
	(void)pthread_mutex_unlock(&p->mutex);
	(void)pthread_cond_signal(&p->given);
}

struct sqlite_conn *
pool_take(struct pool *p, const struct deadline *d, struct err *e)
{
	struct sqlite_conn *c = NULL;
	bool free_one;

	(void)pthread_mutex_lock(&p->mutex);
	free_one = pool_wait(p, d);
	if (free_one && (c = p->idle))
		p->idle = c->next;
	else if (free_one)
		p->open++;
	(void)pthread_mutex_unlock(&p->mutex);
	if (!free_one) {
		(void)err_set(e, ERR_STORE, "busy");
		err_detail(e, "sqlite: all %d connections were busy until the deadline", POOL_MAX);
		return NULL;
	}
	if (c) {
		conn_wait(c, d);
		return c;
	}
	c = conn_open(p, d, e);
	if (!c)
		pool_closed(p);
	return c;
}

void
sqlite_conn_free(struct sqlite_conn *c)
{
	struct pool *p;

	if (!c)
		return;
	p = c->pool;
	/* An unfinished statement would keep a snapshot, and the WAL could not be reset. */
	for (size_t i = 0; i < POOL_STATEMENTS; i++)
		if (c->stmt[i].stmt && sqlite3_stmt_busy(c->stmt[i].stmt))
			(void)sqlite3_reset(c->stmt[i].stmt);
	if (!sqlite3_get_autocommit(c->db) &&
	    sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK) {
		conn_close(c);
		pool_closed(p);
		return;
	}
	(void)pthread_mutex_lock(&p->mutex);
	c->next = p->idle;
	p->idle = c;
	(void)pthread_mutex_unlock(&p->mutex);
	(void)pthread_cond_signal(&p->given);
}

sqlite3_stmt *
stmt_take(struct sqlite_conn *c, const char *sql, struct err *e)
{
	size_t i = ((uintptr_t)sql >> 3) % POOL_STATEMENTS, n = 0;
	struct stmt_slot *s;

	while (c->stmt[i].sql && c->stmt[i].sql != sql && ++n < POOL_STATEMENTS)
		i = (i + 1) % POOL_STATEMENTS;
	s = &c->stmt[i];
	if (s->sql != sql) { /* free, or all are taken and this one makes room */
		(void)sqlite3_finalize(s->stmt);
		*s = (struct stmt_slot){ 0 };
		if (sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL) !=
		    SQLITE_OK) {
			(void)conn_failed(c, e);
			return NULL;
		}
		s->sql = sql;
	}
	(void)sqlite3_reset(s->stmt);
	(void)sqlite3_clear_bindings(s->stmt);
	return s->stmt;
}

int
stmt_row(struct sqlite_conn *c, sqlite3_stmt *s, struct err *e)
{
	int code = sqlite3_step(s);

	if (code == SQLITE_ROW)
		return 1;
	if (code != SQLITE_DONE)
		(void)conn_failed(c, e);
	(void)sqlite3_reset(s);
	return code == SQLITE_DONE ? 0 : -1;
}

int
stmt_run(struct sqlite_conn *c, sqlite3_stmt *s, struct err *e)
{
	return stmt_row(c, s, e) < 0 ? -1 : 0;
}

int
conn_begin(struct sqlite_conn *c, struct err *e)
{
	return conn_exec(c, "BEGIN IMMEDIATE", e);
}

int
conn_commit(struct sqlite_conn *c, struct err *e)
{
	return conn_exec(c, "COMMIT", e);
}
