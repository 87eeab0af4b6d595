#ifndef EASEL_PROVIDER_NOVELAI_BODY_H
#define EASEL_PROVIDER_NOVELAI_BODY_H
/*
 * novelai_body - what NovelAI is asked for, in its own ranges and words
 *
 * POST /ai/generate-image takes {"input","model","action","parameters"}.  Defaults of the server differ from
 * those of its site, and change: every parameter is said.  Private to provider/.  Thread-safe.
 */
#include "provider/novelai_model.h"
#include "provider/provider.h"

struct novelai_wish {
	const struct novelai_model *model;
	const struct novelai_sampler *sampler;
	const char *action;     /* "generate", "img2img", "infill" */
	uint32_t width, height; /* multiples of 64 */
	bool size_given;        /* by the caller, not from the source */
	int64_t seed;           /* of the first picture; 1 to 2^32 - 1 */
	int steps;
	double scale, strength, noise;
	bool quality; /* its tags are asked for */
	bool stream;
	/* PNGs of exactly that size; NULL: none.  Borrowed. */
	const struct source *image, *mask;
};

/*
 * Brings call->rq into NovelAI's ranges and says in the receipt what it changed.
 * 0 or -1: ERR_VALUE (sampler, aspect_ratio).
 */
int novelai_wish_read(const struct image_call *call, struct novelai_wish *w, struct err *e);

/* The body for picture `number`, JSON text, the caller's to free.  NULL with *e: ERR_INTERNAL. */
char *novelai_body(const struct image_call *call, const struct novelai_wish *w, unsigned number,
		   struct err *e);

#endif
