#ifndef EASEL_IMAGING_COLOUR_H
#define EASEL_IMAGING_COLOUR_H
/*
 * colour - palettes, and which of them a prompt asks for
 */
#include <stdint.h>

#include "noise.h"

#define RAMP_STEPS 1024

struct rgb {
	float r, g, b; /* 0..255, sRGB */
};

/* A palette's colours from dark (0) to light (1), and one that stands out. */
struct ramp {
	struct rgb step[RAMP_STEPS], accent;
};

enum scene_kind {
	SCENE_SILK,
	SCENE_PAPER,
	SCENE_HILLS,
	SCENE_WAVES,
	SCENE_CITY,
	SCENE_DISCS,
	SCENE_PETALS,
	SCENE__MAX
};

/*
 * What the prompt's words suggest ("rose", "海"), the generator decides among several; without a known
 * word it decides everything.  Fills *ramp and returns the kind of picture.
 */
enum scene_kind colour_choose(const char *prompt, struct rng *rng, struct ramp *ramp);

/* The colour at t, 0..1 (clamped). */
static inline struct rgb
ramp_at(const struct ramp *r, float t)
{
	int i = (int)(t * (RAMP_STEPS - 1) + 0.5f);

	return r->step[i < 0 ? 0 : i >= RAMP_STEPS ? RAMP_STEPS - 1 : i];
}

static inline struct rgb
rgb_mix(struct rgb a, struct rgb b, float t)
{
	return (struct rgb){ a.r + t * (b.r - a.r), a.g + t * (b.g - a.g), a.b + t * (b.b - a.b) };
}

static inline struct rgb
rgb_scale(struct rgb a, float s)
{
	return (struct rgb){ a.r * s, a.g * s, a.b * s };
}

static inline float
clamp01(float t)
{
	return t < 0 ? 0 : t > 1 ? 1 : t;
}

static inline float
smooth(float lo, float hi, float t)
{
	t = clamp01((t - lo) / (hi - lo));
	return t * t * (3 - 2 * t);
}

#endif
