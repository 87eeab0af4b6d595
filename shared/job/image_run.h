#ifndef EASEL_JOB_IMAGE_RUN_H
#define EASEL_JOB_IMAGE_RUN_H
/*
 * image_run - every picture's way, whoever asked for it
 *
 * A synchronous request, a chat turn and a task build the same struct image_request and call the same
 * image_run(): resolve the model, check the parameters against what it can do, see that there is
 * room, ask the provider (job/attempts.h), ask the next model of `fallback` when nothing can have been
 * bought, convert what came to what was asked.  They differ only in who waits and for how long.
 * Blocking, inside the deadline.
 */
#include <jansson.h>

#include "base/deadline.h"
#include "base/err.h"
#include "base/ledger.h"
#include "config/config.h"
#include "files/filestore.h"
#include "provider/provider.h"
#include "store/store.h"

/* What a process that makes pictures keeps; opened after fork, shared by its threads. */
struct image_engine {
	const struct config *config;
	struct filestore *files;
	struct picture_records *records; /* job/picture_record.h */
	struct store *store;
};

/*
 * Also sees to the jobs that dead processes left behind, job/lost_job.h.
 */
int image_engine_open(struct image_engine *g, const struct config *c, const char *program,
		      struct store *store, unsigned max_in_flight, struct err *e);
void image_engine_done(struct image_engine *g);
/*
 * Sees to what was left behind since: a process that had a successor already when it was killed has none that would
 * start now.  Cheap when there is nothing.  0 or -1.
 */
int image_engine_recover(struct image_engine *g, struct err *e);

struct intent;

struct image_job {
	/* From the caller. */
	const struct image_request *rq;
	const char *model_asked; /* NULL: the default image model; not read when `asked` is set */
	const char *request_id, *key_id;
	struct deadline deadline;
	/*
	 * Later than that: once a provider may have accepted the work it may go on until then.  Zeroed: it
	 * may not.  Whoever waits may move both while it runs, from its tick, later only.
	 */
	struct deadline late;
	int64_t budget_ms; /* the deadline's length, for the error that says it passed */
	struct ledger *ledger;
	/* As in struct image_call; NULL: no partial pictures are wanted. */
	void (*on_partial)(void *self, unsigned image, const struct source *so_far);
	void *on_partial_self;
	/* Whoever keeps a record of the job; NULL: nobody.  As in struct image_call, right after ours. */
	void (*on_stage)(void *self, const char *stage);
	void (*on_upstream_id)(void *self, const char *id);
	void *on_self;
	/* Instead of the provider's own: a caller's account, or the key that began it.  NULL: the provider's. */
	const char *credential, *password;
	/* Work that a provider has accepted already: its name for it there; NULL: none.  And what came before. */
	const char *resume;
	const struct picture *came;
	unsigned ncame;
	/* The task that it is the run of, and the fence of its lease; NULL: of none. */
	const char *task_id;
	int64_t fence;

	/* Filled, as far as it got, whether it succeeded or not. */
	/* What was asked for; its habits are the answer's.  A caller that knows it already sets it, an image model. */
	const struct model_conf *asked;
	const struct model_conf *model; /* what was used: a fallback, when that is another */
	struct receipt receipt;
	unsigned attempts; /* calls made to providers */
	const char *after; /* the code of the attempt that failed last, or NULL */
	const char *mode;  /* "http", "local", "async", "ws" */
	int64_t created;   /* when it was answered first, of one that is answered again; 0: now */
	struct image_call call; /* call.images[0 .. nimages) are the pictures, as asked */
	/*
	 * The note of it, for whoever finds it should this process die.  It stays until the answer has left:
	 * the caller gives it back with intent_release() then.  NULL when nothing was begun.  A caller that has
	 * something to be put right before that may have taken it already.
	 */
	struct intent *intent;
};

/* Frees what it was filled with; the intent is the caller's to give back. */
void image_job_done(struct image_job *job);

/*
 * Would image_run() take it?  The model is found, what it cannot do is refused, and there is room; nothing
 * is asked of a provider.  Sets job->asked.  0, or -1 with *e.
 */
int image_check(struct image_engine *g, struct image_job *job, struct err *e);

/*
 * 0, or -1 with *e; then job->call.nimages pictures are there all the same, and where a provider's failure
 * is the reason *e is ERR_IMAGES_INCOMPLETE.
 */
int image_run(struct image_engine *g, struct image_job *job, struct err *e);
/* Makes an ERR_IMAGES_INCOMPLETE of *e, which goes to the log; of one that it is already the numbers. */
void image_run_incomplete(const struct image_job *job, struct err *e);
#define NOT_TOLD "the store could not be told before"
/* The same of an ERR_GONE of a job of which some pictures came and not all; else nothing.  why: "the client had left" */
void image_run_broke_off(const struct image_job *job, enum err_party party, const char *why,
			 struct err *e);

/*
 * Reads OpenAI's parameters and the additional ones from a JSON object into *rq.  Strings stay owned
 * by `body`.  *model is the "model" member or NULL.  Type, range, size and encoding are judged here;
 * what a particular model cannot do is judged in image_run().
 * Members that name pictures to start from are refused: whoever takes them removes them before.
 * 0 or -1: ERR_MISSING, ERR_TYPE, ERR_VALUE, ERR_ABOVE_MAX, ERR_BELOW_MIN, ERR_TOO_LONG,
 * ERR_UNSUPPORTED.
 */
int image_params_read(json_t *body, struct image_request *rq, const char **model, struct err *e);
/*
 * Before it is written down: of members that are no parameters the names stay, for the receipt; what they
 * hold may be anything, a key among others.
 */
void image_params_forget(json_t *body);
/* As when nothing was given. */
void image_params_init(struct image_request *rq);
/* One parameter; texts are borrowed from v. */
int image_param_set(struct image_request *rq, enum image_param p, const json_t *v, struct err *e);
/*
 * Adds to the object `body` what a form says of `name`, as the type that the parameter of that name has;
 * text is NUL-terminated behind its n bytes.  Texts and unknown names become strings.
 * 0 or -1: ERR_DUPLICATE_KEY, ERR_TYPE, ERR_VALUE (not UTF-8).
 */
int
image_param_from_text(json_t *body, const char *name, const char *text, size_t n, struct err *e);
int image_param_by_name(const char *name); /* enum image_param; -1: there is none of that name */

#define PROMPT_CHARS_MAX 32000

#endif
