/*
 * Silk: folds lit from a side, in colours that flow.  Paper: sheets cut along a field's contours and
 * laid on each other, with their shadows.
 */
#include <math.h>
#include <stdlib.h>

#include "scene.h"

#define TURN 6.2831853f

struct field {
	uint32_t seed;
	float scale, warp, folds, stretch, lean; /* of the field */
	float light_u, light_v;
	float levels; /* paper: sheets */
	int flip;     /* paper: light sheets below */
	struct grid tone, height, slope;
	float *a, *b, *c;
};

static void
warped(const struct field *f, float *u, float *v)
{
	float x = *u * f->scale, y = *v * f->scale * f->stretch;
	float p = noise2(f->seed + 11, x * 0.9f, y * 0.9f);
	float q = noise2(f->seed + 23, x * 0.9f, y * 0.9f);

	*u = x + f->warp * p;
	*v = y + f->warp * q;
}

static float
tone(const void *arg, float u, float v)
{
	const struct field *f = arg;

	warped(f, &u, &v);
	return fbm2(f->seed + 37, u * 0.8f + 5, v * 0.8f, 2);
}

/* The cloth's height, in folds; for paper the ground's. */
static float
height(const void *arg, float u, float v)
{
	const struct field *f = arg;
	float across = u * f->light_u + v * f->light_v;

	warped(f, &u, &v);
	return f->folds * (f->lean * across + fbm2(f->seed + 53, u * 0.7f, v * 0.7f, 2));
}

static float
slope(const void *arg, float u, float v)
{
	const struct field *f = arg;
	const float step = 0.004f;

	return (height(arg, u + step * f->light_u, v + step * f->light_v) -
		height(arg, u - step * f->light_u, v - step * f->light_v)) /
	       (2 * step);
}

static void
field_done(struct scene *s)
{
	struct field *f = s->state;

	if (!f)
		return;
	grid_done(&f->tone);
	grid_done(&f->height);
	grid_done(&f->slope);
	free(f->a);
	free(f->b);
	free(f->c);
	free(f);
	s->state = NULL;
}

static int
field_prepare(struct scene *s)
{
	struct field *f = calloc(1, sizeof(*f));
	float angle = rng_range(&s->rng, 0, TURN);

	s->state = f;
	if (!f)
		return -1;
	f->seed = (uint32_t)rng_next(&s->rng);
	f->light_u = cosf(angle);
	f->light_v = sinf(angle);
	f->stretch = rng_range(&s->rng, 0.6f, 1.5f);
	f->flip = rng_below(&s->rng, 2) == 0;
	f->a = malloc(sizeof(float) * (s->width + 1));
	f->b = malloc(sizeof(float) * (s->width + 1));
	f->c = malloc(sizeof(float) * (s->width + 1));
	if (!f->a || !f->b || !f->c)
		return -1;
	if (s->kind == SCENE_PAPER) {
		f->scale = rng_range(&s->rng, 1.3f, 2.1f);
		f->warp = rng_range(&s->rng, 0.3f, 0.7f);
		f->folds = 1;
		f->lean = rng_range(&s->rng, 0, 0.7f);
		f->levels = (float)(6 + rng_below(&s->rng, 4));
		if (grid_init(&f->height, s->width, s->height, height, f) < 0)
			return -1;
		grid_normalise(&f->height);
		return 0;
	}
	f->scale = rng_range(&s->rng, 0.8f, 1.4f);
	f->warp = rng_range(&s->rng, 0.5f, 1.0f);
	f->folds = rng_range(&s->rng, 1.6f, 3.2f);
	f->lean = rng_range(&s->rng, 0.3f, 1.1f);
	if (grid_init(&f->tone, s->width, s->height, tone, f) < 0 ||
	    grid_init(&f->height, s->width, s->height, height, f) < 0 ||
	    grid_init(&f->slope, s->width, s->height, slope, f) < 0)
		return -1;
	grid_normalise(&f->tone);
	return 0;
}

/* sin(2 pi x) within 1e-3: a parabola, sharpened once. */
static float
wave(float x)
{
	x -= floorf(x + 0.5f);
	x = 8 * x - 16 * x * fabsf(x);
	return x * (0.775f + 0.225f * fabsf(x));
}

static void
silk_row(struct scene *s, uint32_t y, struct rgb *out)
{
	struct field *f = s->state;

	grid_row(&f->tone, 0, (float)y, s->width, f->a);
	grid_row(&f->height, 0, (float)y, s->width, f->b);
	grid_row(&f->slope, 0, (float)y, s->width, f->c);
	for (uint32_t x = 0; x < s->width; x++) {
		float ridge = wave(f->b[x]);
		float lit = wave(f->b[x] + 0.25f) * f->c[x] * 0.22f;
		float shine, t = 0.1f + 0.75f * f->a[x] + 0.08f * ridge;
		struct rgb c;

		lit /= 1 + fabsf(lit);
		t += 0.2f * lit;
		c = ramp_at(&s->ramp, t);
		shine = lit > 0 ? lit * lit * lit : 0;
		c = rgb_scale(c, 1 + 0.38f * lit);
		out[x] = rgb_mix(c, ramp_at(&s->ramp, 1), 0.7f * shine);
	}
}

static void
paper_row(struct scene *s, uint32_t y, struct rgb *out)
{
	struct field *f = s->state;
	float reach = 0.022f / s->unit; /* of a shadow, in pixels */
	float n = f->levels;

	grid_row(&f->height, 0, (float)y, s->width + 1, f->a);
	grid_row(&f->height, 0, (float)y + 1, s->width, f->b);
	grid_row(&f->height, -reach * f->light_u, (float)y - reach * f->light_v, s->width, f->c);
	for (uint32_t x = 0; x < s->width; x++) {
		float h = f->a[x] * n, over = f->c[x] * n;
		float per_pixel = (fabsf(f->a[x + 1] - f->a[x]) + fabsf(f->b[x] - f->a[x])) * n;
		float edge = floorf(h + 0.5f);
		float upper = clamp01((h - edge) / (per_pixel + 1e-6f) + 0.5f);
		struct rgb sheet[2];

		for (int i = 0; i < 2; i++) {
			float level = edge - 1 + (float)i;
			float t = (level + 0.5f) / n;
			float dark = 0.42f * smooth(-0.25f, 0.75f, over - level - 1);
			float rim = 0.1f * (1 - smooth(0, 0.16f, h - level));

			t = f->flip ? 1.02f - 0.97f * t : 0.05f + 0.97f * t;
			sheet[i] = ramp_at(&s->ramp, t + 0.05f * (h - level - 0.5f) + rim * 0.5f);
			sheet[i] = rgb_scale(sheet[i], (1 - dark) * (1 + rim));
		}
		out[x] = rgb_mix(sheet[0], sheet[1], upper);
	}
}

static void
field_row(struct scene *s, uint32_t y, struct rgb *out)
{
	if (s->kind == SCENE_PAPER)
		paper_row(s, y, out);
	else
		silk_row(s, y, out);
}

const struct scene_driver scene_field = { field_prepare, field_row, field_done };
