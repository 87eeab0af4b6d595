#ifndef EASEL_API_IMAGE_WAIT_H
#define EASEL_API_IMAGE_WAIT_H
/*
 * image_wait - a request's pictures, from the moment it is read until it is known what to answer
 *
 * Whatever kind of answer it becomes: is the request a repetition (api/repeat.h)?  Else the job is run, and this
 * thread's tick looks whether the client has left, whether the answer is due before the outcome is there
 * (api/handoff.h), and keeps the lease of work that has outlived its request.
 *
 *	struct image_wait w = { .r = r, .g = g, .job = &job, .body = body };
 *	rc = image_wait_run(&w, e);
 *	… the answer …
 *	image_wait_done(&w, rc, e);
 *
 * Private to api/.  Logs.
 */
#include "api/handoff.h"
#include "api/repeat.h"
#include "base/tick.h"

struct image_wait {
	/* From the caller. */
	struct request *r;
	struct image_engine *g;
	struct image_job *job;
	const json_t *body; /* as it was asked for, without the pictures of the job */
	bool chat;          /* … in chat's words, with its pictures */
	/* The caller's own duty, every_us; false: the client has left.  NULL: that is looked at here. */
	bool (*look)(void *self);
	/* Says an error in an answer that has begun.  False: none has.  NULL: none can have. */
	bool (*tell)(void *self, struct err *e);
	void *self;
	int64_t every_us; /* 0: once a second */

	/* Its own. */
	struct tick tick;
	struct repeat repeat;
	struct handoff handoff;
	struct handoff_wish wish;
	bool works;      /* it is the first, and its pictures are asked for */
	bool polls;      /* the provider has accepted it and is asked again and again */
	int64_t note_us; /* when a record is to be written; 0: not, or it is */
	bool unnoted;    /* … and the store did not take it */
	bool let_go;     /* this process ends: others see to the work */
	bool is_left;    /* by its client */
	char joined[40]; /* the request whose outcome this one was given; "" its own */
	char joins[40];  /* the task whose end a repetition waits for; "" none */
};

/*
 * 0, or -1 with *e; as image_run(), also for a repetition.  -1 with ERR_GONE and request_is_answered(): the
 * caller has been answered already, nothing is left to say.
 */
int image_wait_run(struct image_wait *w, struct err *e);

/* The answer was written, as far as the client took it.  rc, e: of image_wait_run(). */
void image_wait_done(struct image_wait *w, int rc, const struct err *e);

#endif
