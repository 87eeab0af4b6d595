#ifndef EASEL_IMAGING_NOISE_H
#define EASEL_IMAGING_NOISE_H
/*
 * noise - randomness that is the same everywhere, and smooth fields made of it
 */
#include <stdint.h>

/* splitmix64 (Steele, Lea, Flood 2014). */
struct rng {
	uint64_t state;
};

uint64_t mix64(uint64_t x);
uint64_t hash_text(const char *s); /* FNV-1a, mixed */
uint64_t rng_next(struct rng *r);
float rng_range(struct rng *r, float lo, float hi);
unsigned rng_below(struct rng *r, unsigned n); /* 0..n-1 */

/* Gradient noise, about -1..1, one feature a unit; and its sum over octaves. */
float noise2(uint32_t seed, float x, float y);
float fbm2(uint32_t seed, float x, float y, int octaves);

/*
 * A smooth field over a picture, computed at few points and interpolated (Catmull-Rom) for the rest:
 * its cost does not grow with the picture.
 */
struct grid {
	int cols, rows, cell; /* cell: pixels between two points */
	float *v, *line;
};

#define GRID_POINTS 208 /* along the longer side */

/*
 * f(arg, u, v) at every point; u and v are in units of the shorter side, 0,0 at the top left.
 * 0, or -1: out of memory.
 */
int grid_init(struct grid *g, uint32_t width, uint32_t height,
	      float (*f)(const void *arg, float u, float v), const void *arg);
void grid_done(struct grid *g);
/* Maps the lowest and the highest value to 0 and 1. */
void grid_normalise(struct grid *g);
/* The field along picture row y, from column x on, n pixels; both may leave the picture a little. */
void grid_row(const struct grid *g, float x, float y, uint32_t n, float *out);

#endif
