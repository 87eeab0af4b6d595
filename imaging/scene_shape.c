/*
 * Ellipses laid on each other with soft shadows: as discs that float, or as the petals of blossoms.
 */
#include <math.h>
#include <stdlib.h>

#include "scene.h"

#define SHAPES_MAX 220
#define TURN       6.2831853f

struct shape {
	float u, v, a, b;    /* centre and half axes */
	float cosine, sine;  /* of the first axis' direction */
	struct rgb from, to; /* along the first axis */
	float opacity, blur; /* blur: of the edge, as a share of the radius */
	float shadow;        /* 0: none */
	float hole;          /* 0, or the inner radius of a ring as a share */
};

struct shapes {
	int n;
	struct shape shape[SHAPES_MAX];
	float light_u, light_v;
	struct rgb ground[2];
	struct grid mist;
	float *line;
};

static void
shapes_done(struct scene *s)
{
	struct shapes *p = s->state;

	if (!p)
		return;
	grid_done(&p->mist);
	free(p->line);
	free(p);
	s->state = NULL;
}

static struct shape *
add(struct shapes *p, float u, float v, float a, float b, float angle)
{
	struct shape *k = &p->shape[p->n < SHAPES_MAX ? p->n++ : SHAPES_MAX - 1];

	*k = (struct shape){ .u = u,
			     .v = v,
			     .a = a,
			     .b = b,
			     .cosine = cosf(angle),
			     .sine = sinf(angle),
			     .opacity = 1 };
	return k;
}

static void
discs(struct scene *s, struct shapes *p)
{
	struct rng *g = &s->rng;
	int dark = rng_below(g, 2) == 0, n = 9 + (int)rng_below(g, 9);
	float tilt = rng_range(g, 0, TURN);

	p->ground[0] = ramp_at(&s->ramp, dark ? 0.03f : 0.98f);
	p->ground[1] = ramp_at(&s->ramp, dark ? 0.3f : 0.76f);
	for (int i = 0; i < n; i++) {
		float big = i == 0 ? rng_range(g, 0.26f, 0.36f)
				   : 0.03f + 0.21f * powf(rng_range(g, 0, 1), 2.2f);
		float u = rng_range(g, i ? 0.02f : 0.3f, i ? 0.98f : 0.7f) * s->right;
		float v = rng_range(g, i ? 0.02f : 0.32f, i ? 0.98f : 0.68f) * s->bottom;
		float tone = rng_range(g, 0.08f, 0.9f), kind = rng_range(g, 0, 1);
		float spread = rng_range(g, 0.35f, 0.62f), turn = rng_range(g, -0.5f, 0.5f);
		struct shape *k = add(p, u, v, big, big, tilt + turn);

		k->from = ramp_at(&s->ramp, tone);
		k->to = ramp_at(&s->ramp, tone + (tone > 0.5f ? -spread : spread));
		k->opacity = i == 0 ? 1 : rng_range(g, 0.8f, 1);
		k->shadow = 0.3f;
		if (i == 1 + n / 2)
			k->from = k->to = s->ramp.accent;
		else if (i > 1 && kind < 0.2f)
			k->hole = rng_range(g, 0.72f, 0.94f);
		else if (i > 1 && kind < 0.42f) {
			k->blur = 0.7f;
			k->opacity *= 0.6f;
			k->shadow = 0;
		}
	}
}

static void
blossom(struct scene *s, struct shapes *p, float u, float v, float radius, int rings, float mood)
{
	struct rng *g = &s->rng;
	int petals = 6 + (int)rng_below(g, 5);
	float turn = rng_range(g, 0, TURN), slim = rng_range(g, 0.75f, 1.15f);

	for (int ring = 0; ring < rings; ring++) {
		float out = 1 - (float)ring / ((float)rings + 0.6f), r = radius * out;
		int n = petals - (petals * ring) / (rings * 2);

		turn += TURN / (float)(2 * n) + rng_range(g, -0.1f, 0.1f);
		for (int i = 0; i < n; i++) {
			float angle =
				turn + TURN * (float)i / (float)n + rng_range(g, -0.07f, 0.07f);
			float length = r * rng_range(g, 0.9f, 1.06f);
			float at = length * 0.56f, wide = slim * 2.5f * length / (float)n;
			struct shape *k;

			if (wide > length * 0.46f)
				wide = length * 0.46f;
			k = add(p, u + at * cosf(angle), v + at * sinf(angle), length * 0.46f, wide,
				angle);
			k->from = ramp_at(&s->ramp, 0.12f + 0.2f * mood + 0.3f * (1 - out));
			k->to = ramp_at(&s->ramp, 0.5f + 0.3f * mood + 0.26f * (1 - out) +
							  rng_range(g, -0.05f, 0.05f));
			k->shadow = 0.34f;
		}
	}
	for (int i = 0; i < 14; i++) { /* the seeds in the middle, on a sunflower's spiral */
		float d = radius * 0.034f * sqrtf((float)i), angle = 2.3999632f * (float)i;
		struct shape *k = add(p, u + d * cosf(angle), v + d * sinf(angle), radius * 0.03f,
				      radius * 0.03f, angle);

		k->from = rgb_scale(s->ramp.accent, 0.82f);
		k->to = s->ramp.accent;
		k->shadow = 0.2f;
	}
}

static void
petals(struct scene *s, struct shapes *p)
{
	struct rng *g = &s->rng;
	int dark = rng_below(g, 2) == 0, n = 1 + (int)rng_below(g, 3);
	float u = rng_range(g, 0.34f, 0.66f) * s->right, v = rng_range(g, 0.36f, 0.62f) * s->bottom;
	float radius = rng_range(g, 0.4f, 0.52f), angle = rng_range(g, 0, TURN);

	p->ground[0] = ramp_at(&s->ramp, dark ? 0.0f : 0.99f);
	p->ground[1] = ramp_at(&s->ramp, dark ? 0.22f : 0.84f);
	/* Smaller ones behind, then the one that the picture is about. */
	for (int i = 1; i < n; i++) {
		float a = angle + (float)i * 2.4f, far = rng_range(g, 0.5f, 0.62f);

		blossom(s, p, u + far * cosf(a), v + far * sinf(a), radius * 0.52f, 3,
			rng_range(g, 0, 1));
	}
	blossom(s, p, u, v, radius, 4 + (int)rng_below(g, 3), rng_range(g, 0.1f, 0.9f));
}

static float
mist(const void *arg, float u, float v)
{
	return fbm2(*(const uint32_t *)arg, u * 1.3f, v * 1.3f, 3);
}

static int
shapes_prepare(struct scene *s)
{
	struct shapes *p = calloc(1, sizeof(*p));
	uint32_t seed = (uint32_t)rng_next(&s->rng);
	float angle = rng_range(&s->rng, 0.6f, 2.4f);

	s->state = p;
	if (!p)
		return -1;
	p->light_u = cosf(angle);
	p->light_v = sinf(angle);
	p->line = malloc(sizeof(float) * s->width);
	if (!p->line || grid_init(&p->mist, s->width, s->height, mist, &seed) < 0)
		return -1;
	if (s->kind == SCENE_PETALS)
		petals(s, p);
	else
		discs(s, p);
	return 0;
}

/* The columns that a circle around u, v reaches in this row; 0: none. */
static int
span(const struct scene *s, float u, float dv, float radius, uint32_t *from, uint32_t *to)
{
	float half = radius * radius - dv * dv, left, right;

	if (half <= 0)
		return 0;
	half = sqrtf(half);
	left = (u - half) / s->unit - 1;
	right = (u + half) / s->unit + 2;
	if (right <= 0 || left >= (float)s->width)
		return 0;
	*from = left > 0 ? (uint32_t)left : 0;
	*to = right < (float)s->width ? (uint32_t)right : s->width;
	return *from < *to;
}

static void
shadow_row(const struct scene *s, const struct shapes *p, const struct shape *k, float v,
	   struct rgb *out)
{
	float shorter = k->a < k->b ? k->a : k->b, far = 0.006f + 0.05f * shorter;
	float du0 = k->u + far * p->light_u, dv = v - (k->v + far * p->light_v);
	float soft = 0.012f + 0.12f * shorter, grow = 1 + soft / shorter;
	uint32_t from, to;

	if (!span(s, du0, dv, (k->a > k->b ? k->a : k->b) * grow, &from, &to))
		return;
	for (uint32_t x = from; x < to; x++) {
		float du = (float)x * s->unit - du0;
		float i = (du * k->cosine + dv * k->sine) / k->a;
		float j = (dv * k->cosine - du * k->sine) / k->b;
		float inside = (grow * grow - (i * i + j * j)) / (grow * grow - 0.6f);

		if (inside <= 0)
			continue;
		inside = inside > 1 ? 1 : inside;
		out[x] = rgb_scale(out[x], 1 - k->shadow * inside * inside);
	}
}

static void
shape_row(const struct scene *s, const struct shape *k, float v, struct rgb *out)
{
	float shorter = k->a < k->b ? k->a : k->b, dv = v - k->v;
	float width = s->unit / shorter + k->blur;
	uint32_t from, to;

	if (!span(s, k->u, dv, k->a > k->b ? k->a : k->b, &from, &to))
		return;
	for (uint32_t x = from; x < to; x++) {
		float du = (float)x * s->unit - k->u;
		float i = (du * k->cosine + dv * k->sine) / k->a;
		float j = (dv * k->cosine - du * k->sine) / k->b;
		float d2 = i * i + j * j, d, cover, t = 0.5f + 0.5f * i;

		if (d2 >= 1)
			continue;
		d = sqrtf(d2);
		cover = (1 - d) / width;
		cover = cover > 1 ? 1 : cover;
		if (k->blur > 0)
			cover = cover * cover * (3 - 2 * cover);
		if (k->hole > 0)
			cover *= clamp01((d - k->hole) / width);
		/* A little light along the rim. */
		out[x] = rgb_mix(out[x],
				 rgb_scale(rgb_mix(k->from, k->to, t), 0.97f + 0.07f * d2 * d2),
				 cover * k->opacity);
	}
}

static void
shapes_row(struct scene *s, uint32_t y, struct rgb *out)
{
	struct shapes *p = s->state;
	float v = (float)y * s->unit;

	grid_row(&p->mist, 0, (float)y, s->width, p->line);
	for (uint32_t x = 0; x < s->width; x++) {
		float t = ((float)x * s->unit / s->right) * p->light_u + v / s->bottom * p->light_v;

		out[x] = rgb_mix(p->ground[0], p->ground[1],
				 clamp01(0.5f * t + 0.25f + 0.55f * p->line[x]));
	}
	for (int i = 0; i < p->n; i++) {
		if (p->shape[i].shadow > 0 && p->shape[i].hole <= 0)
			shadow_row(s, p, &p->shape[i], v, out);
		shape_row(s, &p->shape[i], v, out);
	}
}

const struct scene_driver scene_shape = { shapes_prepare, shapes_row, shapes_done };
