/*
 * Group commit.  A commit to the disk costs a hundred times what a row costs, and only one transaction can
 * write.  So there is no queue of transactions but one of writes: a thread that finds nobody at it leads:
 * it waits for the database, then takes all the writes that gathered meanwhile, its own among them, and
 * commits them at once.  No thread of its own is needed, and a single write takes no detour.
 */
#include "store/sqlite_pool.h"

struct pool_write {
	struct pool_write *next;
	int (*fn)(struct sqlite_conn *c, void *arg, struct err *e);
	void *arg;
	struct err *e;
	int rc;
	enum { WRITE_WAITS, WRITE_TAKEN, WRITE_DONE } state;
	pthread_cond_t moved;
};

/* With the mutex held: out of the line, as nobody took it. */
static void
leave(struct pool *p, struct pool_write *w)
{
	for (struct pool_write **at = &p->first; *at; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			if (p->last == &w->next)
				p->last = at;
			break;
		}
	w->state = WRITE_DONE;
	w->rc = -1;
	/* It may have been its turn: then it is the next one's. */
	if (!p->leading && p->first)
		(void)pthread_cond_signal(&p->first->moved);
}

static void
run_one(struct sqlite_conn *c, struct pool_write *w)
{
	if (conn_exec(c, "SAVEPOINT one", w->e) < 0) {
		w->rc = -1;
		return;
	}
	w->rc = w->fn(c, w->arg, w->e);
	if (w->rc < 0)
		(void)sqlite3_exec(c->db, "ROLLBACK TO one", NULL, NULL, NULL);
	(void)sqlite3_exec(c->db, "RELEASE one", NULL, NULL, NULL);
}

static void
run_all(struct sqlite_conn *c, struct pool_write *list)
{
	struct err e;

	for (struct pool_write *w = list; w; w = w->next) {
		/* A full disk or a bad page may have ended the transaction under the others. */
		if (sqlite3_get_autocommit(c->db)) {
			(void)err_set(w->e, ERR_STORE, "sqlite");
			err_detail(w->e, "sqlite: the transaction was undone");
			w->rc = -1;
			continue;
		}
		run_one(c, w);
	}
	if (!sqlite3_get_autocommit(c->db) && conn_commit(c, &e) == 0)
		return;
	for (struct pool_write *w = list; w; w = w->next)
		if (w->rc == 0) {
			(void)err_set(w->e, ERR_STORE, "sqlite");
			err_detail(w->e, "sqlite: commit: %s", sqlite3_errmsg(c->db));
			w->rc = -1;
		}
}

/* As the leader, without the mutex: one transaction. */
static void
lead(struct pool *p, struct pool_write *own, const struct deadline *d)
{
	AUTO_PTR(sqlite_conn) c = pool_take(p, d, own->e);
	struct pool_write *list, *next;

	if (!c || conn_begin(c, own->e) < 0) {
		(void)pthread_mutex_lock(&p->mutex);
		leave(p, own);
		(void)pthread_mutex_unlock(&p->mutex);
		return;
	}
	(void)pthread_mutex_lock(&p->mutex);
	list = p->first;
	p->first = NULL;
	p->last = &p->first;
	for (struct pool_write *w = list; w; w = w->next)
		w->state = WRITE_TAKEN;
	(void)pthread_mutex_unlock(&p->mutex);

	run_all(c, list);

	(void)pthread_mutex_lock(&p->mutex);
	for (struct pool_write *w = list; w; w = next) {
		next = w->next; /* done, it is its thread's again */
		w->state = WRITE_DONE;
		if (w != own)
			(void)pthread_cond_signal(&w->moved);
	}
	(void)pthread_mutex_unlock(&p->mutex);
}

static void
wait_turn(struct pool *p, struct pool_write *w, const struct deadline *d)
{
	struct timespec at = { .tv_sec = d->at_us / 1000000, .tv_nsec = d->at_us % 1000000 * 1000 };

	while (w->state == WRITE_TAKEN || (w->state == WRITE_WAITS && p->leading)) {
		/* What was taken lasts as long as a commit: its outcome is awaited. */
		if (w->state == WRITE_TAKEN)
			(void)pthread_cond_wait(&w->moved, &p->mutex);
		else if (pthread_cond_timedwait(&w->moved, &p->mutex, &at) != 0 &&
			 w->state == WRITE_WAITS && deadline_over(d)) {
			leave(p, w);
			(void)err_set(w->e, ERR_STORE, "busy");
			err_detail(w->e, "sqlite: other writes took until the deadline");
		}
	}
}

int
pool_write(struct pool *p, int (*fn)(struct sqlite_conn *c, void *arg, struct err *e), void *arg,
	   const struct deadline *d, struct err *e)
{
	struct pool_write own = { .fn = fn, .arg = arg, .e = e };
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&own.moved, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_lock(&p->mutex);
	/* It leaves the list before this function ends. */
	/* cppcheck-suppress autoVariables */
	*p->last = &own;
	/* cppcheck-suppress autoVariables */
	p->last = &own.next;
	wait_turn(p, &own, d);
	if (own.state == WRITE_WAITS) {
		p->leading = true;
		(void)pthread_mutex_unlock(&p->mutex);
		lead(p, &own, d);
		(void)pthread_mutex_lock(&p->mutex);
		p->leading = false;
		if (p->first)
			(void)pthread_cond_signal(&p->first->moved);
	}
	(void)pthread_mutex_unlock(&p->mutex);
	(void)pthread_cond_destroy(&own.moved);
	return own.rc;
}
