/*
 * Layers that stand behind each other in a haze, each with its upper edge: hills, waves, the roofs of
 * a city; over them a sky with a sun.
 */
#include <math.h>
#include <stdlib.h>

#include "scene.h"

#define LAYERS_MAX 9
#define TURN       6.2831853f

struct layer {
	float *top;    /* of each column, in pixels from the picture's top */
	float highest; /* the least of them */
	struct rgb crest, foot;
	float depth;     /* pixels from the crest's colour to the foot's */
	uint32_t *house; /* city: column → number of the house; its left edge is in `left` */
	float *left;
};

struct ridges {
	int n;
	struct layer layer[LAYERS_MAX];
	float horizon; /* v */
	float sun_u, sun_v, sun_r;
	struct rgb sky_top, sky_low, sun, glow;
	float glow_strength;
	int dusk;
	uint32_t seed;
	float pane, lit; /* city: a window's pitch in pixels, the share that is lit */
};

static void
ridges_done(struct scene *s)
{
	struct ridges *r = s->state;

	for (int i = 0; r && i < LAYERS_MAX; i++) {
		free(r->layer[i].top);
		free(r->layer[i].house);
		free(r->layer[i].left);
	}
	free(r);
	s->state = NULL;
}

static void
sky(struct scene *s, struct ridges *r)
{
	r->dusk = rng_below(&s->rng, 2) == 0 || s->kind == SCENE_CITY;
	r->horizon = rng_range(&s->rng, 0.36f, 0.52f) * s->bottom;
	r->sun_u = rng_range(&s->rng, 0.18f, 0.82f) * s->right;
	r->sun_v = r->horizon * rng_range(&s->rng, 0.35f, 0.92f);
	r->sun_r = rng_range(&s->rng, 0.055f, 0.13f);
	if (r->dusk) {
		r->sky_top = ramp_at(&s->ramp, rng_range(&s->rng, 0.12f, 0.3f));
		r->sky_low = ramp_at(&s->ramp, rng_range(&s->rng, 0.72f, 0.88f));
		r->sun = rgb_mix(s->ramp.accent, ramp_at(&s->ramp, 1), 0.45f);
		r->glow_strength = 0.6f;
	} else {
		r->sky_top = ramp_at(&s->ramp, rng_range(&s->rng, 0.68f, 0.8f));
		r->sky_low = ramp_at(&s->ramp, 0.98f);
		/* A sun is warm: an accent that is not stays out of the sky. */
		r->sun = s->ramp.accent.r > s->ramp.accent.b ? s->ramp.accent
							     : ramp_at(&s->ramp, 0.9f);
		r->glow_strength = 0.32f;
	}
	r->glow = rgb_mix(r->sun, ramp_at(&s->ramp, 1), 0.35f);
}

/* A hill's or a wave's edge: in v, around 0, about -1..1. */
static float
edge(const struct scene *s, const struct ridges *r, int i, float u, float near)
{
	uint32_t seed = r->seed + (uint32_t)i * 101;

	if (s->kind == SCENE_WAVES) {
		float phase = 3 * noise2(seed, 0.5f + u * 0.6f, 0.5f) + (float)i * 1.9f;

		return 0.75f * sinf(u * TURN * (1.6f - 0.8f * near) + phase) +
		       0.4f * noise2(seed + 7, u * 2.2f, 9.5f);
	}
	/* Sharp far away, round and wide near by. */
	return fbm2(seed, u * (2.6f - 1.4f * near) + (float)i * 3.7f, 0.5f, near > 0.7f ? 3 : 5) *
	       1.6f;
}

static void
city_edge(struct scene *s, struct ridges *r, int i, float base, float near)
{
	struct layer *l = &r->layer[i];
	struct rng rng = { mix64(r->seed + (uint32_t)i * 977) };
	float u = -rng_range(&rng, 0, 0.1f), end = u, height = 0;
	uint32_t number = 0;

	for (uint32_t x = 0; x < s->width; x++) {
		float here = (float)x * s->unit;

		while (here >= end) {
			float cluster =
				0.6f + 0.8f * noise2(r->seed + 5, end * 2.1f, (float)i * 2.7f);
			float tall = rng_range(&rng, 0, 1);

			u = end;
			end = u + rng_range(&rng, 0.028f, 0.05f) * (1 + near * 1.6f);
			height = (0.05f + 0.3f * tall * tall) * (0.5f + cluster) *
				 (0.6f + near * 0.5f);
			number++;
		}
		l->top[x] = (base - height) / s->unit;
		l->house[x] = number;
		l->left[x] = u / s->unit;
	}
}

static void
layer_edge(struct scene *s, struct ridges *r, int i, float near)
{
	struct layer *l = &r->layer[i];
	float room = s->bottom - r->horizon;
	float base = r->horizon + room * (0.04f + 0.9f * near * near * 0.75f + 0.2f * near);
	float swing = s->kind == SCENE_WAVES ? 0.02f + 0.05f * near : 0.07f + 0.06f * near;

	if (s->kind == SCENE_CITY) {
		city_edge(s, r, i, base + 0.1f, near);
	} else {
		for (uint32_t x = 0; x < s->width; x++)
			l->top[x] =
				(base - swing * edge(s, r, i, (float)x * s->unit, near)) / s->unit;
	}
	l->highest = l->top[0];
	for (uint32_t x = 1; x < s->width; x++)
		l->highest = fminf(l->highest, l->top[x]);
}

static void
layer_colour(struct scene *s, struct ridges *r, int i, float near)
{
	struct layer *l = &r->layer[i];
	float far_tone = r->dusk ? 0.62f : 0.8f, tone = far_tone + (0.04f - far_tone) * near;
	struct rgb haze = rgb_mix(r->sky_low, ramp_at(&s->ramp, tone), 0.45f + 0.3f * near);

	l->crest = rgb_mix(ramp_at(&s->ramp, tone), r->sky_low, 0.22f * (1 - near));
	l->foot = haze;
	l->depth = (0.16f + 0.2f * near) * s->bottom / s->unit;
	if (s->kind == SCENE_WAVES) {
		/* Water is darker below its crest, not hazier. */
		l->foot = ramp_at(&s->ramp, tone * 0.7f);
		l->crest = ramp_at(&s->ramp, tone + 0.1f);
		l->depth *= 0.8f;
	}
}

static int
ridges_prepare(struct scene *s)
{
	struct ridges *r = calloc(1, sizeof(*r));

	s->state = r;
	if (!r)
		return -1;
	r->seed = (uint32_t)rng_next(&s->rng);
	sky(s, r);
	r->n = s->kind == SCENE_CITY ? 5 : 6 + (int)rng_below(&s->rng, LAYERS_MAX - 6);
	r->lit = rng_range(&s->rng, 0.08f, 0.3f);
	r->pane = 0.0115f / s->unit;
	for (int i = 0; i < r->n; i++) {
		float near = (float)(i + 1) / (float)r->n;
		struct layer *l = &r->layer[i];

		l->top = malloc(sizeof(float) * s->width);
		l->house = malloc(sizeof(uint32_t) * s->width);
		l->left = malloc(sizeof(float) * s->width);
		if (!l->top || !l->house || !l->left)
			return -1;
		layer_edge(s, r, i, near);
		layer_colour(s, r, i, near);
	}
	return 0;
}

static void
sky_row(const struct scene *s, const struct ridges *r, uint32_t y, struct rgb *out)
{
	float v = (float)y * s->unit, dv = v - r->sun_v;
	struct rgb base = rgb_mix(r->sky_top, r->sky_low, smooth(-0.1f, 1.05f, v / r->horizon));

	for (uint32_t x = 0; x < s->width; x++) {
		float du = (float)x * s->unit - r->sun_u, d2 = du * du + dv * dv;
		float glow = r->glow_strength / (1 + d2 / (5 * r->sun_r * r->sun_r));
		float d = (r->sun_r * r->sun_r - d2) / (2 * r->sun_r * s->unit);

		out[x] = rgb_mix(base, r->glow, glow);
		out[x] = rgb_mix(out[x], r->sun, clamp01(d + 0.5f));
	}
}

/* Light in some windows; far houses are too small to have any. */
static float
window(const struct scene *s, const struct ridges *r, int i, uint32_t x, float below)
{
	const struct layer *l = &r->layer[i];
	float pane = r->pane * (0.55f + 0.2f * (float)i);
	float a = ((float)x - l->left[x]) / pane - 0.5f, b = below / (pane * 1.5f) - 0.6f;
	float fa = a - floorf(a), fb = b - floorf(b);
	uint64_t h;

	(void)s;
	if (a < 0 || b < 0 || fa < 0.25f || fa > 0.75f || fb < 0.2f || fb > 0.8f)
		return 0;
	h = mix64(r->seed ^ (uint64_t)l->house[x] << 40 ^ (uint64_t)i << 32 ^
		  (uint64_t)(uint32_t)a << 16 ^ (uint32_t)b);
	if ((float)(h & 1023) > r->lit * 1023)
		return 0;
	return 0.35f + 0.5f * (float)(h >> 32 & 255) / 255;
}

static void
layer_row(const struct scene *s, const struct ridges *r, int i, uint32_t y, struct rgb *out)
{
	const struct layer *l = &r->layer[i];
	float per_depth = 1 / l->depth, foam = 0.006f / s->unit + 0.8f;
	struct rgb white = ramp_at(&s->ramp, 1);

	for (uint32_t x = 0; x < s->width; x++) {
		float below = (float)y - l->top[x], t;
		struct rgb c;

		if (below <= -0.5f)
			continue;
		t = below * per_depth;
		t = t > 1 ? 1 : t < 0 ? 0 : t;
		c = rgb_mix(l->crest, l->foot, t);
		if (s->kind == SCENE_WAVES && below < 6 * foam) {
			float rest = 1 - below / (6 * foam);

			c = rgb_mix(c, white, 0.34f * rest * rest * rest);
		} else if (s->kind == SCENE_CITY && i >= 2) {
			c = rgb_mix(c, r->sun, window(s, r, i, x, below));
		}
		out[x] = below < 0.5f ? rgb_mix(out[x], c, below + 0.5f) : c;
	}
}

static void
ridges_row(struct scene *s, uint32_t y, struct rgb *out)
{
	struct ridges *r = s->state;

	sky_row(s, r, y, out);
	for (int i = 0; i < r->n; i++)
		if ((float)y > r->layer[i].highest - 1)
			layer_row(s, r, i, y, out);
}

const struct scene_driver scene_ridge = { ridges_prepare, ridges_row, ridges_done };
