#ifndef EASEL_API_REJOIN_H
#define EASEL_API_REJOIN_H
/*
 * rejoin - a repetition gets what became of the first
 *
 * While the first one runs, the repetition waits, inside its own deadline; work that has outlived its request
 * is waited for as its task.  A first one whose process died has an outcome that nobody knows, unless its task
 * says otherwise: it is never bought again.  Private to api/.  Logs.
 */
#include "api/image_wait.h"
#include "store/store_task.h"

/* A retry without a key may be here before the first one's record is. */
#define REJOIN_LOOK_MS (REPEAT_NOTE_MS + 1100)

enum rejoined {
	REJOIN_FIRST,  /* it is no repetition */
	REJOIN_FILLED, /* w->job has the pictures */
	REJOIN_FAILED  /* *e; with ERR_GONE the request was answered */
};
enum rejoined rejoin(struct image_wait *w, struct err *e);

/* 202 for a task that runs (RFC 7240). */
int rejoin_accepted(struct request *r, const struct task_record *t, struct err *e);

#endif
