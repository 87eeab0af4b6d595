#ifndef EASEL_JOB_INTENT_H
#define EASEL_JOB_INTENT_H
/*
 * intent - what a process was about to do, readable after its death
 *
 * Each worker maps one file state_dir/run/intent/PROGRAM.PID and keeps a slot in it for every job in
 * hand: written before the provider is called, cleared when the caller has its answer.  The pages are
 * shared, so they survive any end of the process (not a power cut).  The file is locked (flock) as
 * long as its owner lives; whoever finds one unlocked may take its slots over.  Slots are taken and
 * given back by any thread.  Does not log.
 *
 * A slot also says what a successor needs: what a repetition of the request is known by, once the
 * provider has a name for the work how to go on with it, and which pictures came: a slot stays until they have their
 * records (job/picture_record.h).
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "files/picture.h"
#include "store/store.h"

/* The stages a job passes, in order; a slot says the last one it reached. */
enum intent_stage {
	INTENT_FREE,
	INTENT_ACCEPTED,
	INTENT_SUBMITTING,
	INTENT_WAITING,
	INTENT_STORING,
	INTENT_TASK,    /* it is a task in the store now, which tells what became of it */
	INTENT_ANSWERED /* only its pictures may lack their records */
};

struct intent; /* one slot */

/* Makes this process's file with room for `slots` jobs. */
int intent_open(const char *state_dir, const char *program, unsigned slots, struct err *e);
void intent_close(void); /* removes the file when no slot is in use */

/* A slot for this job, or NULL when all are taken (the frame sheds load before that happens). */
struct intent *
intent_take(const char *request_id, const char *key_id, const char *model, const char *provider);
/* It is a task's, under this fence. */
void intent_task(struct intent *i, const char *task_id, int64_t fence);
/*
 * Before INTENT_SUBMITTING: although it is at that stage nothing has left, or nothing since the provider has made
 * what it was asked for before; INTENT_SENT before something does, and in a new slot.
 */
enum intent_sent { INTENT_SENT, INTENT_UNSENT, INTENT_REST_UNSENT };
void intent_sent(struct intent *i, enum intent_sent sent);
/* INTENT_REST_UNSENT, and these are what has been made: in one step. */
void intent_rest_unsent(struct intent *i, const struct picture *came, unsigned ncame);
/* While nothing was sent: what it is about, when that was not known before or is another now. */
void intent_about(struct intent *i, const char *model, const char *provider);
/* A stage; after INTENT_TASK nothing changes any more. */
void intent_stage(struct intent *i, enum intent_stage stage);
enum intent_stage intent_stage_of(const struct intent *i);
const char *intent_upstream_id_of(const struct intent *i); /* for the thread that set it */
void intent_upstream_id(struct intent *i, const char *id);
/* SHA-256 of what was asked for, job/image_run.h. */
#define INTENT_HASH_BYTES 32
void intent_hash(struct intent *i, const unsigned char hash[INTENT_HASH_BYTES]);
/*
 * Before its upstream id: the request as JSON, the fingerprint of the credential, and the pictures that came before.
 * What is longer than INTENT_REQUEST_TEXT is not kept, nor more than INTENT_CAME_MAX.  remnant: what the provider has
 * accepted can be asked for with it, and nothing else.
 */
#define INTENT_REQUEST_TEXT 1024
#define INTENT_CAME_MAX     10
void intent_request(struct intent *i, const char *request, bool remnant, const char *credential,
		    const struct picture *came, unsigned ncame);
/*
 * A picture that is about to be there, and what was asked for, in the words of an images request (as above; of the
 * first one it is kept).
 */
#define INTENT_MADE_MAX 20 /* each picture of a request, and what it is converted to */
bool intent_has_made(const struct intent *i);
void intent_made(struct intent *i, const struct picture *p, const char *request);
void intent_release(struct intent *i); /* accepts NULL */
/*
 * The caller has its answer; it is to be released once its pictures have their records.  False: too many are kept
 * for that already, and it was released.
 */
#define INTENT_KEPT_MAX 512
bool intent_answered(struct intent *i);

/*
 * Is there a job of this key, of any process that lives or was not seen to yet, that asked for the same and may have
 * bought it?  Not the request `but`; *request_id is the one that is found.
 */
bool intent_asks(const char *state_dir, const char *key_id,
		 const unsigned char hash[INTENT_HASH_BYTES], const char *but, char request_id[40]);

/* What the row of a task lacks that was taken over from the run under that fence. */
struct intent_run {
	char upstream_id[96]; /* the provider's name for what is being made; "": not known */
	bool unsent; /* nothing has left, or nothing since what the row knows of has been made */
};
/* In the intents of this machine, whether their processes live or not; zeroed: nothing is known. */
void
intent_run_read(const char *state_dir, const char *task_id, int64_t fence, struct intent_run *run);

/* A job whose process died. */
struct intent_lost {
	struct job_record job;
	bool hashed; /* the hash is known */
	unsigned char hash[INTENT_HASH_BYTES];
	const char *request, *credential; /* "" not known; until fn returns */
	bool remnant;                     /* the request is one */
	const char *task_id;              /* "": no task's; until fn returns */
	const struct picture *came;       /* until fn returns */
	unsigned ncame;
	bool rest_unsent; /* those came, the rest has not been asked for; no upstream id then */
	bool answered;    /* nothing else is to be seen to than these: */
	const struct picture *made; /* that may be there without a record; until fn returns */
	unsigned nmade;
	const char *made_request; /* what they were asked for by, or "" */
	int64_t fence;
};

/*
 * Looks for files whose owner is dead, calls fn for each job found in them and removes them.  Any
 * number of processes may do so at once; each job is handed to one of them.  The outcome in the
 * record is "outcome_unknown" when the provider may have been reached, else "handler_crashed".
 * fn returns 0, or -1: the job stays there, for the next one who looks.
 * The number of jobs, or -1.
 */
int intent_recover(const char *state_dir, int (*fn)(const struct intent_lost *l, void *arg),
		   void *arg, struct err *e);

#endif
