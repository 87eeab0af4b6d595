#ifndef EASEL_API_HANDOFF_H
#define EASEL_API_HANDOFF_H
/*
 * handoff - work that outlives the request that asked for it
 *
 * When a request's deadline passes, or the caller's patience (Prefer: respond-async, wait=N), or its client
 * leaves, and a provider may have accepted the work, the work becomes a task in the store that runs already:
 * this thread holds its lease, renews it from its tick, and writes down its attempts and how it ended.  Should the
 * process die, the lease runs out and the task's worker decides.  What the store does not take in time is kept beside
 * it until it does (job/owed_task.h): the caller is told its name all the same.  Private to api/.  Logs.
 */
#include "api/repeat.h"
#include "http/request.h"
#include "job/image_run.h"
#include "store/store_task.h"

#define HANDOFF_NOW_MS 500 /* for the store, while the client's answer waits for it */

/* What is asked of this request's answer. */
struct handoff_wish {
	bool async;     /* Prefer: respond-async */
	int64_t due_us; /* when it is to be answered; 0: it cannot outlive its request */
};

struct owed_task;

/* One that has left for a provider, or was about to. */
struct handoff_attempt {
	const char *provider;
	const char *after; /* the code of its failure; NULL: another has not followed */
	int64_t started_ms;
};

struct handoff {
	bool begun;     /* the work is a task, or would be if it could be kept as one */
	bool lost;      /* the lease is somebody else's */
	bool cancelled; /* the task is to end */
	bool let_go;
	char task_id[40];       /* "" : neither the store nor this machine's disk took it */
	struct owed_task *owed; /* it waits for the store; NULL: that has it */
	struct repeat *repeat;  /* whose record is to be in the store then */
	const struct config *config;
	int64_t lease_ms, renew_us;
	int64_t created_ms;
	char upstream_id[128]; /* as the store knows it */
	unsigned came; /* pictures that were there when the provider named what it makes now */
	struct handoff_attempt *attempts; /* all of the job's, since before the hand-off */
	unsigned nattempts, noted;        /* noted: as the job counts them */
};

/* Reads Prefer, and gives the job the time that it may have. */
void handoff_plan(struct request *r, const struct config *c, struct image_job *job,
		  struct handoff_wish *wish);

/*
 * The work is a task from here on, with its record in *repeat where it has one.  body: what was asked for, or
 * NULL: as the job has it; *repeat lasts as long as the work.  0; -1: neither store nor disk takes it.
 */
int handoff_begin(struct handoff *h, struct request *r, const struct config *c,
		  struct image_job *job, struct repeat *repeat, const json_t *body, struct err *e);

/*
 * Before something is sent that a provider may accept: the store is told.  False: it is not, and nothing may be
 * sent.
 */
bool handoff_dispatch(struct handoff *h, struct request *r, const struct image_job *job);
/* The provider has named it. */
void handoff_upstream_id(struct handoff *h, struct request *r, const struct image_job *job);

/* From the tick: renews the lease.  False: it need not go on. */
bool handoff_keep(struct handoff *h, struct request *r, const struct image_job *job);

/* This process ends before the work does: whoever finds the task next sees to it, at once. */
void handoff_let_go(struct handoff *h, struct request *r);

/* Nothing of it was bought, and it goes on elsewhere: no end is written, and whoever finds the task when its lease
 * is over runs it. */
void handoff_leave(struct handoff *h, struct request *r);

/* It has ended; e: why it failed. */
void handoff_end(struct handoff *h, struct request *r, const struct config *c,
		 const struct image_job *job, int rc, const struct err *e);

#endif
