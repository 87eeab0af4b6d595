#ifndef EASEL_PROVIDER_CAPABILITY_H
#define EASEL_PROVIDER_CAPABILITY_H
/*
 * capability - tells people and programs what a model can do, from its row of struct image_caps
 *
 * The same row decides what is passed on, dropped or refused (job/image_run.c), so that what is told
 * here cannot differ from what happens.
 */
#include <jansson.h>
#include <stdio.h>

#include "provider/provider.h"

/*
 * Parameters that Easel serves itself where a provider does not: the form of the answer, how many, the
 * stream.
 */
#define PARAMS_SERVED_HERE                                                                 \
	(PARAM_BIT(PARAM_RESPONSE_FORMAT) | PARAM_BIT(PARAM_OUTPUT_FORMAT) |               \
	 PARAM_BIT(PARAM_OUTPUT_COMPRESSION) | PARAM_BIT(PARAM_N) | PARAM_BIT(PARAM_STREAM))

/* What becomes of a parameter: "kept", "served-here" or "dropped". */
const char *capability_fate(const struct image_caps *caps, enum image_param p);
/* The same in this request: nothing is compressed here where nothing can be converted to JPEG or WebP. */
const char *capability_fate_of(const struct image_caps *caps, const struct image_request *rq,
			       enum image_param p);

/*
 * The member `easel` of GET /v1/models/{id}: {"type":"image","provider","dialect","family","parameters":
 * {"size":"kept",…},"sizes","mapped","n_per_call","prompt_characters","input_images","mask","partial_images",
 * "price"}.  A chat model has type, provider, dialect and price.  A new reference; NULL: out of memory.
 */
json_t *capability_json(const struct model_conf *m);

/* docs/providers.md: every dialect's rows as Markdown. */
void capability_markdown(FILE *out);

#endif
