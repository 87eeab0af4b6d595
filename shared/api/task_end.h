#ifndef EASEL_API_TASK_END_H
#define EASEL_API_TASK_END_H
/*
 * task_end - how a worker lets go of a task
 *
 * Each writes to the store, again and again while it does not answer, and removes the input pictures when
 * the task has ended.  Private to api/.  Logs.
 */
#include "api/task_run.h"

void task_succeed(struct task_env *env, const struct task_record *t, json_t *history,
		  const struct image_job *job);
/* job: its pictures came all the same; NULL: none.  ERR_GONE: it was cancelled. */
void task_fail(struct task_env *env, const struct task_record *t, json_t *history,
	       const struct image_job *job, const struct err *why);
void task_requeue(struct task_env *env, const struct task_record *t, json_t *history,
		  const struct task_again *how, const char *code);

#endif
