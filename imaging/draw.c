#include "draw.h"

#include <stdlib.h>

#include "scene.h"

/* A film's grain, in levels of 255: enough to hide the steps of smooth colours. */
#define GRAIN 1.25f

static const struct scene_driver *const drivers[SCENE__MAX] = {
	[SCENE_SILK] = &scene_field,   [SCENE_PAPER] = &scene_field, [SCENE_HILLS] = &scene_ridge,
	[SCENE_WAVES] = &scene_ridge,  [SCENE_CITY] = &scene_ridge,  [SCENE_DISCS] = &scene_shape,
	[SCENE_PETALS] = &scene_shape,
};

static unsigned char
byte(float v)
{
	return (unsigned char)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Rounds a row to bytes, with grain and darker corners. */
static void
finish(const struct scene *s, uint32_t y, const struct rgb *row, unsigned char *out)
{
	uint32_t noise = (uint32_t)mix64(y + 1) | 1;
	float dy = ((float)y * s->unit - 0.5f * s->bottom) / s->bottom;

	for (uint32_t x = 0; x < s->width; x++) {
		float dx = ((float)x * s->unit - 0.5f * s->right) / s->right;
		float d = dx * dx + dy * dy, light = 1.02f - 0.32f * d * d - 0.06f * d;
		float grain;

		noise ^= noise << 13;
		noise ^= noise >> 17;
		noise ^= noise << 5;
		grain = (float)(noise >> 8) * (GRAIN * 0x1p-24f) + (0.5f - GRAIN / 2);
		out[3 * x] = byte(row[x].r * light + grain);
		out[3 * x + 1] = byte(row[x].g * light + grain);
		out[3 * x + 2] = byte(row[x].b * light + grain);
	}
}

unsigned char *
draw(const struct order *o)
{
	uint32_t shorter = o->width < o->height ? o->width : o->height;
	struct scene *s = calloc(1, sizeof(*s));
	struct rgb *row = malloc(sizeof(*row) * o->width);
	unsigned char *out = malloc((size_t)o->width * o->height * 3);
	const struct scene_driver *d = NULL;

	if (s && row && out) {
		s->width = o->width;
		s->height = o->height;
		s->unit = 1.0f / (float)shorter;
		s->right = (float)o->width * s->unit;
		s->bottom = (float)o->height * s->unit;
		s->rng.state = mix64(hash_text(o->prompt) ^ mix64(o->seed + 1)) + o->index;
		s->rng.state = mix64(s->rng.state);
		s->kind = colour_choose(o->prompt, &s->rng, &s->ramp);
		d = drivers[s->kind];
	}
	if (!d || d->prepare(s) < 0) {
		free(out);
		out = NULL;
	}
	for (uint32_t y = 0; out && y < o->height; y++) {
		d->row(s, y, row);
		finish(s, y, row, out + (size_t)y * o->width * 3);
	}
	if (d)
		d->done(s);
	free(row);
	free(s);
	return out;
}
