#ifndef EASEL_API_TASK_WAY_H
#define EASEL_API_TASK_WAY_H
/*
 * task_way - what the store is told of a task while it runs
 *
 * Its lease, renewed by the thread's tick; its attempts, stages and partial pictures, written as they happen from
 * the calls that image_run() makes; all under the fence of the claim.  Nothing of what could be bought again is
 * sent before it is written that it may have been (dispatched).  Private to api/.  Logs.
 */
#include "api/task_run.h"
#include "base/tick.h"

#define TASK_DISPATCH_MS \
	5000 /* for a word to the store that must be said before anything is sent */

/* One run of a task. */
struct task_run {
	struct task_env *env;
	struct task_record *t;
	struct image_job job;
	struct ledger ledger;
	struct tick tick;
	json_t *history, *progress;
	unsigned noted;                /* attempts that are in the history */
	unsigned partials[IMAGES_MAX]; /* partial pictures of this attempt, of each */
	int64_t lease_ms;              /* how long one is, from each sign of life */
	int64_t renew_us;              /* when the lease is to be renewed */
	int64_t lease_us;              /* when it is over, as far as is known here */
	bool lost;                     /* the lease is somebody else's */
	bool cancelled, dispatched, unwritten;
};

/* After env, t and job: the record's history and progress, the lease, and the calls of the job. */
void task_way_begin(struct task_run *r);
void task_way_done(struct task_run *r);
/* From here on this thread's waits renew the lease, and find out that the task is to end; until tick_set(NULL). */
void task_way_watch(struct task_run *r);

/* Writes what changed.  False: it is not written, or the task is somebody else's. */
bool task_way_advance(struct task_run *r, struct task_step *step, int64_t ms);

/* The attempts in its history.  An attempt is open until its outcome is known; closing none does nothing. */
void task_way_open(struct task_run *r, const char *provider);
void task_way_close(struct task_run *r, const char *outcome, const char *code);
bool task_way_is_open(const struct task_run *r);
/* How many ended so. */
unsigned task_way_count(const struct task_run *r, const char *outcome);

#endif
