#ifndef EASEL_API_TASK_RUN_H
#define EASEL_API_TASK_RUN_H
/*
 * task_run - one task that a worker has claimed, from its record to its end
 *
 * Two phases: what may reach a provider is preceded by a durable word that it may (dispatched); its name
 * there follows as soon as it is known.  So whoever finds the task after this process was killed knows
 * whether it may be run again (never dispatched), can be waited for (the provider knows it by name), or has
 * an outcome that nobody knows.  Nothing is bought twice.
 *
 * The thread's tick renews the lease and notices that the task is to end, that the lease is somebody
 * else's, or that this process leaves; then what was not sent is not sent.  A failure that cannot have
 * bought anything and may pass puts the task back into the queue, up to TASK_CLAIMS_MAX times in all; so
 * does the death of its worker before anything was sent.  What the provider has accepted has [deadline] grace
 * beyond task_run; what it knows by name and could not be asked for is left as it is, to whoever finds its lease over.
 *
 * A caller's password is a guess like those of POST /login and in the same counts (access/guesses.h): where it may not be
 * made now the task fails with ERR_RATE_LIMITED, and the provider is not asked.
 *
 * Logs.
 */
#include <stdatomic.h>

#include "job/image_run.h"
#include "store/store_task.h"

struct task_env {
	struct image_engine *g;
	struct store *store;
	atomic_bool leaving; /* what was not sent goes back to the queue */
};

/* t is as store_task_claim() has filled it; its lease is this thread's. */
void task_run(struct task_env *env, struct task_record *t, enum task_found found);

#endif
