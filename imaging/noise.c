#include "noise.h"

#include <math.h>
#include <stdlib.h>

#define MARGIN 7 /* points around the picture, for rows that are sampled off it */

uint64_t
mix64(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

uint64_t
hash_text(const char *s)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3;
	return mix64(h);
}

uint64_t
rng_next(struct rng *r)
{
	return mix64(r->state += 0x9e3779b97f4a7c15);
}

float
rng_range(struct rng *r, float lo, float hi)
{
	return lo + (hi - lo) * (float)(rng_next(r) >> 40) * 0x1p-24f;
}

unsigned
rng_below(struct rng *r, unsigned n)
{
	return (unsigned)((rng_next(r) >> 32) * n >> 32);
}

static float
corner(uint32_t seed, int ix, int iy, float dx, float dy)
{
	static const float dir[8][2] = { { 1, 0 },
					 { 0, 1 },
					 { -1, 0 },
					 { 0, -1 },
					 { .7071f, .7071f },
					 { -.7071f, .7071f },
					 { .7071f, -.7071f },
					 { -.7071f, -.7071f } };
	uint32_t h = (uint32_t)ix * 0x9e3779b1u ^ (uint32_t)iy * 0x85ebca77u ^ seed;

	h = (h ^ h >> 15) * 0x2c1b3c6du;
	h = (h ^ h >> 12) * 0x297a2d39u;
	h ^= h >> 15;
	return dir[h & 7][0] * dx + dir[h & 7][1] * dy;
}

static float
fade(float t)
{
	return t * t * t * (t * (t * 6 - 15) + 10);
}

float
noise2(uint32_t seed, float x, float y)
{
	float fx = floorf(x), fy = floorf(y);
	int ix = (int)fx, iy = (int)fy;
	float dx = x - fx, dy = y - fy, u = fade(dx), v = fade(dy);
	float a = corner(seed, ix, iy, dx, dy), b = corner(seed, ix + 1, iy, dx - 1, dy);
	float c = corner(seed, ix, iy + 1, dx, dy - 1);
	float d = corner(seed, ix + 1, iy + 1, dx - 1, dy - 1);

	a += u * (b - a);
	c += u * (d - c);
	return 1.5f * (a + v * (c - a));
}

float
fbm2(uint32_t seed, float x, float y, int octaves)
{
	float sum = 0, weight = 1, all = 0;

	for (int i = 0; i < octaves; i++) {
		sum += weight * noise2(seed + (uint32_t)i * 7919, x, y);
		all += weight;
		weight *= 0.5f;
		x = x * 2 + 3.1f;
		y = y * 2 + 1.7f;
	}
	return sum / all;
}

int
grid_init(struct grid *g, uint32_t width, uint32_t height,
	  float (*f)(const void *arg, float u, float v), const void *arg)
{
	uint32_t longer = width > height ? width : height;
	float unit = 1.0f / (float)(width < height ? width : height);

	g->cell = (int)((longer + GRID_POINTS - 1) / GRID_POINTS);
	g->cols = (int)width / g->cell + 2 * MARGIN;
	g->rows = (int)height / g->cell + 2 * MARGIN;
	g->v = malloc(sizeof(float) * (size_t)g->cols * (size_t)g->rows);
	g->line = malloc(sizeof(float) * (size_t)g->cols);
	if (!g->v || !g->line) {
		grid_done(g);
		return -1;
	}
	for (int y = 0; y < g->rows; y++)
		for (int x = 0; x < g->cols; x++)
			g->v[y * g->cols + x] = f(arg, (float)((x - MARGIN) * g->cell) * unit,
						  (float)((y - MARGIN) * g->cell) * unit);
	return 0;
}

void
grid_done(struct grid *g)
{
	free(g->v);
	free(g->line);
	*g = (struct grid){ .cell = 1 };
}

void
grid_normalise(struct grid *g)
{
	float lo = INFINITY, hi = -INFINITY;
	size_t n = (size_t)g->cols * (size_t)g->rows;

	for (int y = MARGIN; y < g->rows - MARGIN; y++)
		for (int x = MARGIN; x < g->cols - MARGIN; x++) {
			lo = fminf(lo, g->v[y * g->cols + x]);
			hi = fmaxf(hi, g->v[y * g->cols + x]);
		}
	if (!(hi > lo))
		return;
	for (size_t i = 0; i < n; i++)
		g->v[i] = (g->v[i] - lo) / (hi - lo);
}

/* The four weights of Catmull-Rom at t in 0..1. */
static void
weights(float t, float w[4])
{
	w[0] = t * (-0.5f + t * (1 - 0.5f * t));
	w[1] = 1 + t * t * (-2.5f + 1.5f * t);
	w[2] = t * (0.5f + t * (2 - 1.5f * t));
	w[3] = t * t * (-0.5f + 0.5f * t);
}

static float
within(float p, int points)
{
	return fminf(fmaxf(p, 1), (float)(points - 3));
}

void
grid_row(const struct grid *g, float x, float y, uint32_t n, float *out)
{
	float step = 1.0f / (float)g->cell, w[4];
	float gy = within(y * step + MARGIN, g->rows), gx = within(x * step + MARGIN, g->cols);
	int iy = (int)gy;
	const float *p = g->v + (iy - 1) * g->cols;

	weights(gy - (float)iy, w);
	for (int i = 0; i < g->cols; i++)
		g->line[i] = w[0] * p[i] + w[1] * p[i + g->cols] + w[2] * p[i + 2 * g->cols] +
			     w[3] * p[i + 3 * g->cols];
	/* One polynomial a cell. */
	for (uint32_t i = 0; i < n;) {
		int ix = (int)gx;
		const float *q = g->line + (ix - 1 < g->cols - 4 ? ix - 1 : g->cols - 4);
		float t = gx - (float)ix;
		float c1 = 0.5f * (q[2] - q[0]), c2 = q[0] - 2.5f * q[1] + 2 * q[2] - 0.5f * q[3];
		float c3 = 1.5f * (q[1] - q[2]) + 0.5f * (q[3] - q[0]);
		uint32_t k = (uint32_t)((1 - t) * (float)g->cell) + 1;

		if (k > n - i)
			k = n - i;
		for (uint32_t j = 0; j < k; j++, t += step)
			out[i + j] = q[1] + t * (c1 + t * (c2 + t * c3));
		gx += (float)k * step;
		i += k;
	}
}
