#ifndef EASEL_PROVIDER_PROVIDER_H
#define EASEL_PROVIDER_PROVIDER_H
/*
 * provider - what Easel asks of those who make pictures
 *
 * One static table per dialect in provider/provider_DIALECT.c; provider_driver() is the only list of
 * them.  A driver maps the request, talks through net/, lets the pictures stream into the sinks it is
 * given, and maps whatever goes wrong to one struct err.  It never waits past the deadline, never
 * logs and keeps no pointer.  Whether a call is made again is job/'s to decide: by itself a driver
 * repeats only what cannot buy (asking after work that was accepted, fetching what came of it, a call
 * that was refused because its login had expired).  Thread-safe.
 */
#include "base/deadline.h"
#include "base/err.h"
#include "base/ledger.h"
#include "config/config.h"
#include "files/filestore.h"
#include "provider/image_request.h"
#include "provider/receipt.h"

#define IMAGES_MAX           10
#define REVISED_PROMPT_BYTES 4096 /* what is longer is cut */

/*
 * What a model behind a dialect can do: one row a family of models.  Feeds validation, mapping, receipt,
 * GET /v1/models/{id} and docs/providers.md.
 */
struct image_caps {
	const char *family; /* for people: "GPT image models" */
	unsigned
		keeps; /* PARAM_BIT()s that are passed on, as they are or in the provider's words */
	unsigned n_max;            /* pictures in one call; more is several calls or a refusal */
	uint32_t prompt_max;       /* characters */
	unsigned sources_max;      /* pictures to start from; 0: an edit is refused with 400 */
	uint64_t source_bytes_max; /* of one of them; 0: as many as are taken in */
	bool mask;                 /* a mask is honoured; else refused with 400 */
	bool partials;     /* the provider sends partial pictures (partial_images is kept then);
	                         else a stream has none */
	bool b64_default;  /* response_format default is b64_json (GPT image models) */
	const char *sizes; /* for people: "1024x1024, 1536x1024, 1024x1536, auto" */
	const char *mapped; /* for people: "size→aspect_ratio; n→several calls"; NULL: nothing is */
};

/* One call for pictures: what goes in, what comes out.  What comes out is zero before. */
struct image_call {
	const struct image_request *rq;
	const struct provider_conf *provider;
	const char *model;      /* the provider's name for it */
	const char *credential; /* the one to use; "" when the dialect needs none */
	const char *password; /* not NULL: the credential is an e-mail address, this its password */
	const struct image_conf
		*image; /* the switches of the dialect grok; NULL: others need none */
	struct filestore *files;
	struct deadline deadline;
	struct ledger *ledger;
	struct receipt *receipt;

	/* Called when the request is about to leave and when the provider has named its task. */
	void (*on_stage)(void *self, const char *stage);
	void (*on_upstream_id)(void *self, const char *id);
	/*
	 * NULL: nobody asked for partial pictures.  picture `image` (0-based) looks like this so far; it is
	 * borrowed for the call.  At most rq->partial_images of each are wanted; more are ignored.
	 */
	void (*on_partial)(void *self, unsigned image, const struct source *so_far);
	/* A line for the log; "{prompt}" in it stands for what may be logged of that. */
	void (*on_note)(void *self, const char *text);
	void *self;

	struct picture images[IMAGES_MAX];
	char *revised_prompt[IMAGES_MAX]; /* NULL when none; freed by image_call_done() */
	unsigned nimages;                 /* whole and stored, also when the call failed */
	char upstream_request_id[96];
	int64_t usage_input, usage_output, usage_total; /* tokens; -1: not said */
	int64_t usage_input_text, usage_input_image;
	char background[16], quality[16]; /* as the provider said; "" */
	int64_t quota_left; /* calls that the credential has left today; -1: not said */
	const char *
		mode; /* how it was asked, "ws" or "http", where a dialect has several; NULL: one */
};

/* Frees what a call collected; its pictures stay stored. */
void image_call_done(struct image_call *call);

struct provider_driver {
	enum dialect dialect;
	/* The capabilities of a model; never NULL. */
	const struct image_caps *(*caps)(const char *upstream_model);
	/* All rows there are, 0 up to the first NULL, for the pages that list them. */
	const struct image_caps *(*caps_row)(unsigned i);
	/*
	 * 0: rq->n pictures are in call->images.  -1: as many as came.  Those that are there at the
	 * beginning came in an earlier attempt: only what lacks is asked for.  may_have_been_billed
	 * is about that; that the pictures were billed is known.
	 */
	int (*generate)(struct image_call *call, struct err *e);
	/*
	 * The same for work that the provider has accepted under this id, in another process perhaps: that is
	 * waited for, and only what lacks then is asked for; nothing is of a remnant, and 0 may be fewer pictures.
	 * NULL: nothing can be asked by an id.
	 */
	int (*resume)(struct image_call *call, const char *upstream_id, struct err *e);
};

/* Never NULL. */
const struct provider_driver *provider_driver(enum dialect d);
/* The one that makes this model's pictures: its provider's, or chat where the model's `via` says so. */
const struct provider_driver *provider_driver_of(const struct model_conf *m);

/* How it will be asked: "ws", "http", "async" or "local". */
const char *provider_mode(const struct model_conf *m, const struct image_conf *image);
/* Is its credential the token, although there are keys too? */
bool provider_by_token(const struct provider_conf *p);

extern const struct provider_driver provider_openai, provider_modelscope, provider_novelai,
	provider_grok, provider_preview, provider_chat;

#endif
