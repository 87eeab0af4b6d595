#ifndef EASEL_API_HANDOFF_TASK_H
#define EASEL_API_HANDOFF_TASK_H
/*
 * handoff_task - what a task's record says of work that has outlived its request
 *
 * Private to api/handoff.c.  Texts are the caller's (free); NULL: out of memory.
 */
#include "api/handoff.h"

/* Its attempts: the last one, whose outcome is code's, or not known yet. */
char *
handoff_history(const struct handoff *h, const struct image_job *job, bool ended, const char *code);
/*
 * Which key is used, so that whoever must go on can ask with the same; how many pictures it starts from, which are
 * gone then; and the pictures there are, without the one that the provider is asked for once more.
 */
char *handoff_progress(const struct handoff *h, const struct image_job *job);
/*
 * The provider's name for it, when whoever finds the task could go on with that alone: of several pictures
 * made from others the rest could not be asked for, because those are gone.
 */
const char *handoff_resumable_id(const struct image_job *job);

/* The whole record.  0 or -1: ERR_INTERNAL. */
int handoff_fill(struct handoff *h, struct request *r, const struct image_job *job,
		 const json_t *body, struct task_record *t, struct err *e);

#endif
