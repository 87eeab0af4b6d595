#ifndef EASEL_JOB_LOST_JOB_H
#define EASEL_JOB_LOST_JOB_H
/*
 * lost_job - what becomes of a job whose process died before its caller had an answer
 *
 * Found by its intent (job/intent.h) when the next process starts, and now and then:
 *
 * - not sent: a repetition may begin anew;
 * - a provider knows it by a name, or has made some of its pictures and was not asked for the others: it becomes a
 *   task, STARTED under a lease that is over, so that the task worker asks for it by that name, and for what was not
 *   asked for yet.  Of a remnant (provider/image_request.h) the others are told as missing;
 * - else its outcome is not known, and a repetition is told so: it is never bought again.
 *
 * A repetition finds it by the record of its key or, without one, by what was asked for.
 *
 * A task's run has a row that says enough, and its lease runs out; but that row has to say beforehand that
 * the provider may be reached.  Where the intent knows that nothing had left, the task goes back into the queue at once;
 * where it knows a name that the store could not be told, the row gets it.  Who has taken the task over before
 * that reads the intent himself (intent_run_read()); it stays until that run knows more.
 *
 * Its pictures that are there get their records, with what the intent knows: of a long prompt the beginning, no receipt.
 *
 * Everything here may be done twice.  Private to job/.  Logs.
 */
#include "job/image_run.h"

/* When the provider has named the work, before that name is noted: what is needed to go on with it. */
void lost_job_prepare(const struct image_job *job);

/* Of a picture that is about to be there: what its record will need. */
void lost_job_note(const struct image_job *job, const struct picture *p);

/* 0, or -1: the store did not take it. */
struct intent_lost;
int lost_pictures_record(struct image_engine *g, const struct intent_lost *l,
			 const struct deadline *d, struct err *e);
/* 1: it is to stay. */
int lost_task_end(const struct config *c, struct store *store, const struct intent_lost *l,
		  const struct deadline *d, struct err *e);

/* All that dead processes left behind.  0, or -1: they cannot be looked for. */
int lost_jobs_end(struct image_engine *g, struct err *e);

#endif
