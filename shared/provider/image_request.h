#ifndef EASEL_PROVIDER_IMAGE_REQUEST_H
#define EASEL_PROVIDER_IMAGE_REQUEST_H
/*
 * image_request - what somebody wants a picture of, and how
 *
 * Built by a handler (images, chat, task), checked by job/image_params.c, read by providers.  Strings
 * are borrowed from whoever built it and live as long as the job.
 */
#include <stdbool.h>
#include <stdint.h>

#include "files/picture.h"
#include "files/source.h"

enum response_format { RESPONSE_DEFAULT, RESPONSE_URL, RESPONSE_B64 };

/*
 * The parameters a provider can be asked for, in OpenAI's order and then the common ones of others.
 * One row: enumerator, name on the wire.
 */
#define IMAGE_PARAMS(X)                                   \
	X(PARAM_N, "n")                                   \
	X(PARAM_SIZE, "size")                             \
	X(PARAM_QUALITY, "quality")                       \
	X(PARAM_RESPONSE_FORMAT, "response_format")       \
	X(PARAM_OUTPUT_FORMAT, "output_format")           \
	X(PARAM_OUTPUT_COMPRESSION, "output_compression") \
	X(PARAM_BACKGROUND, "background")                 \
	X(PARAM_MODERATION, "moderation")                 \
	X(PARAM_STYLE, "style")                           \
	X(PARAM_STREAM, "stream")                         \
	X(PARAM_PARTIAL_IMAGES, "partial_images")         \
	X(PARAM_USER, "user")                             \
	X(PARAM_NEGATIVE_PROMPT, "negative_prompt")       \
	X(PARAM_SEED, "seed")                             \
	X(PARAM_STEPS, "steps")                           \
	X(PARAM_GUIDANCE, "guidance")                     \
	X(PARAM_SAMPLER, "sampler")                       \
	X(PARAM_ASPECT_RATIO, "aspect_ratio")             \
	X(PARAM_STRENGTH, "strength")                     \
	X(PARAM_NOISE, "noise")                           \
	X(PARAM_INPUT_FIDELITY, "input_fidelity")

#define X(param, name) param,
enum image_param { IMAGE_PARAMS(X) PARAM__MAX };
#undef X
#define PARAM_BIT(p) (1u << (p))

const char *image_param_name(enum image_param p);

struct image_request {
	const char *prompt;
	unsigned given;         /* PARAM_BIT() of every parameter the caller sent (not null) */
	unsigned n;             /* 1..10 */
	uint32_t width, height; /* 0, 0: "auto" or not given */
	const char *quality;    /* these: NULL when not given */
	const char *background, *moderation, *style, *user;
	const char *negative_prompt, *sampler, *aspect_ratio;
	const char *input_fidelity; /* edits: "high", "low" */
	enum response_format response_format;
	enum picture_type output_type;    /* PICTURE_NONE: not given */
	int output_compression;           /* -1: not given */
	int64_t seed;                     /* -1: not given */
	int steps;                        /* 0: not given */
	double guidance, strength, noise; /* < 0: not given */
	bool stream;
	int partial_images; /* 0..3; more than 0 only with stream */
	/*
	 * Pictures to start from; none: from the text alone.  The mask's transparent pixels (of the first
	 * picture) are what is to be made anew.  NULL: none.
	 */
	const struct source *sources;
	unsigned nsources;
	const struct source *mask;
	/*
	 * Not all of it is here: its pictures, or the end of its prompt, went with a process that ended.  What a provider has
	 * accepted is waited for; nothing more can be asked for.
	 */
	bool remnant;
	/* Parameters that nobody here knows, for the receipt: "a, b"; "" when none. */
	char unknown[256];
};

#endif
