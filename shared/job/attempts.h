#ifndef EASEL_JOB_ATTEMPTS_H
#define EASEL_JOB_ATTEMPTS_H
/*
 * attempts - asks one model for pictures until they are there or nothing more may be tried
 *
 * Each attempt: choose a key, wait for a slot where the provider's concurrency is limited, ask for less
 * when the time left is below what this model usually takes (degrade), note the intent, call.  After a
 * failure that cannot have bought anything (job/retry.h): the next key at once when it was the key's, else
 * the same again after a wait, with the next degrade step.  All of it inside job->deadline; at most
 * RETRY_ATTEMPTS_MAX with one key.  Pictures that came before a failure stay, and only what lacks is
 * asked for again.
 */
#include "job/image_run.h"

/*
 * For job->model, whose parameters were checked.  0, or -1 with the last failure in *e; job->call holds
 * the pictures that came in either case.
 */
int attempts_run(struct image_engine *g, struct image_job *job, struct err *e);

#endif
