#ifndef EASEL_API_HANDOFF_TASK_H
#define EASEL_API_HANDOFF_TASK_H
/*
 * handoff_task - what a task's record says of work that has outlived its request
 *
 * Private to api/.  Texts are the caller's (free); NULL: out of memory.
 */
#include "api/handoff.h"

/* The job is about to ask a provider: its attempt is noted, should the work become a task now or later. */
void handoff_note_attempt(struct handoff *h, const struct image_job *job);
void handoff_attempts_done(struct handoff *h);

/* Its attempts.  ended: the last one's outcome is code's, else it is not known yet. */
char *handoff_history(struct handoff *h, const struct image_job *job, bool ended, const char *code);
/*
 * Which key is used, so that whoever must go on can ask with the same; whether the task's request is a remnant, as the
 * pictures it starts from will be gone; and the first of the pictures there are, without what the provider is asked for
 * once more.
 */
char *handoff_progress(const struct image_job *job, unsigned came);

/* The whole record.  0 or -1: ERR_INTERNAL. */
int handoff_fill(struct handoff *h, struct request *r, const struct image_job *job,
		 const json_t *body, struct task_record *t, struct err *e);

#endif
