/*
 * The dialect `preview`: an abstract picture from the prompt and the seed, drawn on this machine.  It
 * needs no key and no network, and says in its metadata that it is a preview.
 *
 * The pictures follow from the request alone: without a seed it is taken from the prompt, so that the
 * same prompt shows the same picture again, and n of them differ by their number.
 *
 * An edit shows the picture that it starts from, seen through such a drawing: not what was asked for
 * either, but one sees that the picture arrived.
 */
#include "provider/provider.h"

#include "base/cleanup.h"
#include "base/tick.h"
#include "files/imaging.h"

#define SIDE_MIN     64
#define SIDE_MAX     4096
#define SIDE_DEFAULT 1024
#define PROMPT_MAX   32000 /* characters */
#define SIZES        "auto or WIDTHxHEIGHT with sides of 64 to 4096 pixels"

static const struct image_caps all = {
	.family = "easel-preview",
	.keeps = PARAM_BIT(PARAM_N) | PARAM_BIT(PARAM_SIZE) | PARAM_BIT(PARAM_SEED) |
		 PARAM_BIT(PARAM_OUTPUT_FORMAT) | PARAM_BIT(PARAM_OUTPUT_COMPRESSION),
	.n_max = IMAGES_MAX,
	.prompt_max = PROMPT_MAX,
	.sources_max = 1,
	.sizes = SIZES,
};

static const struct image_caps *
caps_row(unsigned i)
{
	return i ? NULL : &all;
}

static const struct image_caps *
caps(const char *upstream_model)
{
	(void)upstream_model;
	return &all;
}

/* FNV-1a: any number will do, as long as it is the same everywhere and never -1. */
static int64_t
seed_of(const char *prompt)
{
	uint32_t h = 0x811c9dc5;

	for (; *prompt; prompt++)
		h = (h ^ (unsigned char)*prompt) * 0x01000193;
	return h & 0x7fffffff;
}

static int
check(const struct image_request *rq, struct err *e)
{
	if (rq->width == 0 && rq->height == 0)
		return 0;
	if (rq->width < SIDE_MIN || rq->width > SIDE_MAX || rq->height < SIDE_MIN ||
	    rq->height > SIDE_MAX)
		return err_field(e, ERR_VALUE, "size", SIZES, "'%ux%u'", rq->width, rq->height);
	return 0;
}

static void
stage(const struct image_call *call, const char *name)
{
	if (call->on_stage)
		call->on_stage(call->self, name);
}

static bool
is_side(uint32_t n)
{
	return n >= SIDE_MIN && n <= SIDE_MAX;
}

/* The size that was asked for; else that of the picture to start from, if it can be drawn. */
static void
choose_size(const struct image_request *rq, uint32_t *width, uint32_t *height)
{
	const struct source *s = rq->sources;

	*width = *height = SIDE_DEFAULT;
	if (rq->width) {
		*width = rq->width;
		*height = rq->height;
	} else if (rq->nsources && is_side(s->width) && is_side(s->height)) {
		*width = s->width;
		*height = s->height;
	}
}

/* The picture to start from, in the size that is drawn. */
static int
prepare(struct image_call *call, struct imaging_draw *what, struct source *over, struct err *e)
{
	const struct imaging_size size = { what->width, what->height, IMAGING_COVER };

	if (!call->rq->nsources)
		return 0;
	what->over = over;
	return imaging_resize(call->files, call->rq->sources, "image", &size, over, &call->deadline,
			      e);
}

static int
draw_all(struct image_call *call, struct err *e)
{
	const struct image_request *rq = call->rq;
	AUTO(source) over = { 0 };
	struct imaging_draw what = {
		.prompt = rq->prompt,
		.seed = rq->seed >= 0 ? rq->seed : seed_of(rq->prompt),
		.type = rq->output_type != PICTURE_NONE ? rq->output_type : PICTURE_PNG,
		.compression = rq->output_compression,
	};

	choose_size(rq, &what.width, &what.height);
	if (prepare(call, &what, &over, e) < 0)
		return -1;
	for (unsigned i = call->nimages; i < rq->n; i++) {
		what.index = i;
		if (imaging_draw(call->files, &what, &call->images[i], &call->deadline, e) < 0) {
			/* Only the installation's own limit can be meant: it is about the size. */
			if (e->kind == ERR_UP_TOO_LARGE)
				return err_field(e, ERR_VALUE, "size", "a smaller size", "'%ux%u'",
						 what.width, what.height);
			return -1;
		}
		call->nimages = i + 1;
		tick_now();
	}
	return 0;
}

static int
generate(struct image_call *call, struct err *e)
{
	int64_t begin = clock_us();
	int rc;

	call->usage_input = call->usage_output = call->usage_total = -1;
	call->usage_input_text = call->usage_input_image = -1;
	if (check(call->rq, e) < 0)
		return -1;
	stage(call, "provider.submit");
	stage(call, "provider.wait");
	rc = draw_all(call, e);
	if (call->ledger)
		call->ledger->us[LEDGER_PROVIDER] += clock_us() - begin;
	return rc;
}

const struct provider_driver provider_preview = { DIALECT_PREVIEW, caps, caps_row, generate };
