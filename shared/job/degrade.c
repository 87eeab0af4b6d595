#include "job/degrade.h"

#include <stdio.h>
#include <string.h>

#include "job/image_run.h"

/* A promise to the caller, or served here: not the model's work. */
#define FIXED                                                                              \
	(PARAM_BIT(PARAM_N) | PARAM_BIT(PARAM_RESPONSE_FORMAT) | PARAM_BIT(PARAM_STREAM) | \
	 PARAM_BIT(PARAM_PARTIAL_IMAGES) | PARAM_BIT(PARAM_USER) | PARAM_BIT(PARAM_SEED))

#define NAME_MAX_BYTES 64

static bool
same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* Do both ask for the same, as far as the parameters go that the model's work depends on? */
static bool
same(const struct image_request *a, const struct image_request *b)
{
	return a->width == b->width && a->height == b->height && a->steps == b->steps &&
	       a->output_type == b->output_type && a->output_compression == b->output_compression &&
	       !(a->guidance < b->guidance) && !(a->guidance > b->guidance) &&
	       !(a->strength < b->strength) && !(a->strength > b->strength) &&
	       !(a->noise < b->noise) && !(a->noise > b->noise) &&
	       same_text(a->quality, b->quality) && same_text(a->background, b->background) &&
	       same_text(a->moderation, b->moderation) && same_text(a->style, b->style) &&
	       same_text(a->negative_prompt, b->negative_prompt) &&
	       same_text(a->sampler, b->sampler) && same_text(a->aspect_ratio, b->aspect_ratio);
}

/*
 * rq with the step taken.  The parameter, or -1: it is none, the model does not take it, or the value is
 * none for it.
 */
static int
apply(const struct degrade *d, const char *step, struct image_request *rq)
{
	const char *equals = strchr(step, '=');
	char name[NAME_MAX_BYTES];
	json_t *v;
	struct err ignored;
	int p;

	if (!equals || equals - step >= NAME_MAX_BYTES)
		return -1;
	(void)snprintf(name, sizeof(name), "%.*s", (int)(equals - step), step);
	p = image_param_by_name(name);
	if (p < 0 || (FIXED & PARAM_BIT(p)) || !(d->caps->keeps & PARAM_BIT(p)))
		return -1;
	/* "20" is a number where the parameter is one; "low" and "512x512" are texts. */
	v = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
	if (!v)
		v = json_string(equals + 1);
	if (!v)
		return -1;
	(void)json_array_append_new(d->values, v);
	return image_param_set(rq, (enum image_param)p, v, &ignored) < 0 ? -1 : p;
}

void
degrade_init(struct degrade *d, const struct image_request *rq, const struct model_conf *m,
	     const struct image_caps *caps)
{
	*d = (struct degrade){ .rq = *rq, .model = m, .caps = caps, .values = json_array() };
	/* The caller may have asked for one of the steps itself: what stands before it would be more. */
	for (unsigned i = 0; i < m->degrade.n; i++) {
		struct image_request less = *rq;

		if (apply(d, m->degrade.v[i], &less) >= 0 && same(&less, rq))
			d->level = i + 1;
	}
}

void
degrade_done(struct degrade *d)
{
	json_decref(d->values);
	d->values = NULL;
}

const char *
degrade_step(struct degrade *d, struct receipt *r)
{
	while (d->level < d->model->degrade.n) {
		const char *step = d->model->degrade.v[d->level++];
		struct image_request less = d->rq;
		int p = apply(d, step, &less);

		if (p < 0 || same(&less, &d->rq))
			continue;
		d->rq = less;
		receipt_note(r, (enum image_param)p, "=%s", strchr(step, '=') + 1);
		return step;
	}
	return NULL;
}
