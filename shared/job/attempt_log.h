#ifndef EASEL_JOB_ATTEMPT_LOG_H
#define EASEL_JOB_ATTEMPT_LOG_H
/*
 * attempt_log - the lines that tell a picture's way
 *
 * Private to job/.  Keys are named by fingerprint only, prompts as [log] prompts says.
 */
#include "job/image_run.h"

/* The lines that people look for and grep for, so they stay as they are: before the first attempt. */
void attempt_log_start(const struct config *c, const struct image_job *job);
/* What a driver tells on its way (struct image_call, on_note). */
void attempt_log_note(const struct config *c, const struct image_job *job, const char *text);
/* The dialect grok's door was shut: with which status, for which token. */
void attempt_log_refusal(const struct image_job *job, const struct err *e);
/* Before a further one. */
void attempt_log_again(const struct image_job *job);

void
attempt_log_aside(const struct image_job *job, const char *credential, int64_t ms, const char *why);
void attempt_log_degrade(const struct image_job *job, const char *step, const char *why);

#endif
