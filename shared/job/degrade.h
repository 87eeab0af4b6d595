#ifndef EASEL_JOB_DEGRADE_H
#define EASEL_JOB_DEGRADE_H
/*
 * degrade - asks a model for less, step by step, where the operator allows it
 *
 * A model's `degrade` is a list of "parameter=value".  A step counts only when it changes something:
 * the model must take the parameter, and what the caller asked for must not be that, or less already
 * (what stands in the list before it).  `n` and what concerns the form of the answer are never changed.
 * What was changed stands in the receipt: "quality=medium".
 */
#include <jansson.h>

#include "config/config.h"
#include "provider/provider.h"

struct degrade {
	struct image_request rq; /* what to ask for now */
	const struct model_conf *model;
	const struct image_caps *caps;
	unsigned level; /* steps of the list that are behind us; 0: as asked */
	json_t *values; /* that rq's texts are borrowed from */
};

void degrade_init(struct degrade *d, const struct image_request *rq, const struct model_conf *m,
		  const struct image_caps *caps);
void degrade_done(struct degrade *d);

/* The step that was taken ("quality=medium"), or NULL: there is none left. */
const char *degrade_step(struct degrade *d, struct receipt *r);

#endif
