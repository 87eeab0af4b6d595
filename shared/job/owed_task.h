#ifndef EASEL_JOB_OWED_TASK_H
#define EASEL_JOB_OWED_TASK_H
/*
 * owed_task - a task that a caller was told of before the store had taken it
 *
 * Work that outlives its request is a task in the store (api/handoff.h), whose name the caller is told.  While
 * the store cannot be reached in time, the task is a file of its own, state_dir/run/owed/TASK_ID, mode 0600, which
 * outlives any process as intents do (not a power cut).  Whoever makes it holds it locked, writes it anew
 * as the work goes on, and brings it into the store as soon as that answers.  Should that process die, the file is found
 * unlocked, and whoever looks for lost jobs brings it there (job/lost_job.h).
 *
 * Thread-safe.  Logs.
 */
#include "store/store_idem.h"
#include "store/store_task.h"

struct owed_task {
	struct task_record task; /* runs, or has ended already */
	struct idem_record idem; /* how a repetition finds it; without a request_id: not at all */
	int hold;                /* the locked file; -1: it is not written yet */
};
void owed_task_done(struct owed_task *o); /* accepts a zeroed one, and leaves the file to others */

/* Writes its file, or writes it anew.  0 or -1: ERR_CONFIG, ERR_STORAGE_FULL, ERR_INTERNAL; the file is as before. */
int owed_task_write(const char *state_dir, struct owed_task *o, struct err *e);
/* The store has it. */
void owed_task_drop(const char *state_dir, struct owed_task *o);

/*
 * Brings it into the store, with its end when it has one, under fence 1 and a lease of lease_ms.  May be done again.
 * *held false: it is there, and somebody else's by now.  0 or -1: ERR_STORE, or others of the store's.
 */
int owed_task_give(struct store *s, const struct owed_task *o, int64_t lease_ms, int64_t keep_ms,
		   bool *held, const struct deadline *d, struct err *e);

/* store_task_get(); one that the store has not taken yet is STARTED, without a result. */
int owed_task_find(const char *state_dir, struct store *s, const char *id, struct task_record *out,
		   bool *found, const struct deadline *d, struct err *e);
/* Is there still one of that name that the store has not? */
bool owed_task_waits(const char *state_dir, const char *id);

/* Brings those of dead processes into the store.  0; -1: they cannot be looked for. */
int owed_tasks_end(const char *state_dir, struct store *s, int64_t keep_ms, struct err *e);

#endif
