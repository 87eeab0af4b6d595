#ifndef EASEL_STORE_SQLITE_QUEUE_H
#define EASEL_STORE_SQLITE_QUEUE_H
/*
 * sqlite_queue - the SQLite driver's task functions that live in store_sqlite_queue.c and _lease.c
 */
#include "store/sqlite_store.h"
#include "store/task_prepare.h"

/* Something changed; `queue`: something may be claimed. */
static inline void
wakes(struct store *s, bool queue)
{
	struct sqlite_store *q = s->self;

	if (queue)
		wake_all(q->wake, TASK_WAIT_QUEUE);
	wake_all(q->wake, TASK_WAIT_CHANGE);
}

/* The lane's first tasks may be claimed, those that are queued: to be called when one has left its place. */
int sqlite_promote(struct sqlite_conn *c, const char *lane, struct err *e);

__typeof__(store_task_claim) sqlite_claim;
__typeof__(store_task_renew) sqlite_renew;
__typeof__(store_task_advance) sqlite_advance;
__typeof__(store_task_finish) sqlite_finish;
__typeof__(store_task_requeue) sqlite_requeue;
__typeof__(store_task_cancel) sqlite_cancel;
__typeof__(store_task_callback) sqlite_callback;
__typeof__(store_task_callback_done) sqlite_callback_done;

#endif
