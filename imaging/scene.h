#ifndef EASEL_IMAGING_SCENE_H
#define EASEL_IMAGING_SCENE_H
/*
 * scene - one kind of picture: prepared once, then drawn row by row
 *
 * Lengths u, v are in units of the shorter side, so that the same picture comes in every size.  The
 * number of random values a scene takes may not depend on the size.
 */
#include "colour.h"

struct scene {
	enum scene_kind kind;
	uint32_t width, height;
	float unit;          /* of u per pixel */
	float right, bottom; /* the picture's size in u, v */
	struct ramp ramp;
	struct rng rng;
	void *state; /* the kind's own */
};

struct scene_driver {
	/* 0, or -1: out of memory. */
	int (*prepare)(struct scene *s);
	/* Fills one row of pixels, values 0..255 (a little beyond is cut later). */
	void (*row)(struct scene *s, uint32_t y, struct rgb *out);
	void (*done)(struct scene *s); /* frees state; accepts a scene that was not prepared */
};

extern const struct scene_driver scene_field; /* silk, paper */
extern const struct scene_driver scene_ridge; /* hills, waves, city */
extern const struct scene_driver scene_shape; /* discs, petals */

#endif
