#ifndef EASEL_PROVIDER_NOVELAI_MODEL_H
#define EASEL_PROVIDER_NOVELAI_MODEL_H
/*
 * novelai_model - NovelAI's models, samplers and sizes
 *
 * From the service's Swagger file and captures of its site, 2024 to 2026.  The quality tags change with
 * the site's releases: they stand in one table.  Private to provider/.  Thread-safe.
 */
#include <stdbool.h>
#include <stdint.h>

#include "provider/provider.h"

struct novelai_model {
	const char *id;      /* also the beginning of ids that are not in the table */
	const char *inpaint; /* the model that fills masks */
	bool v4;             /* v4 and later: prompts as objects, six samplers, no SMEA */
	double scale;        /* guidance, where none is given */
	int uc_none;         /* the index of "none" in its list of negative presets */
	const char *quality; /* appended to the prompt when quality is asked for; NULL: nothing known */
};

/* Never NULL: an unknown model is taken for one like the newest. */
const struct novelai_model *novelai_model(const char *name);
/* The service's name of it: "nai-v3" is "nai-diffusion-3"; others are themselves. */
const char *novelai_model_id(const char *name);

const struct image_caps *novelai_caps(const char *name);
const struct image_caps *novelai_caps_row(unsigned i);

struct novelai_sampler {
	const char *name;
	const char *schedule; /* noise_schedule; NULL: left out */
	bool v3_only;
	bool smea, smea_dyn; /* switched on with it */
};

/*
 * The sampler of that name or alias ("euler_a", "dpmpp_2m"), or NULL: the model has none such.  name NULL:
 * the usual one.
 */
const struct novelai_sampler *novelai_sampler(const struct novelai_model *m, const char *name);
/* "k_euler, k_euler_ancestral, …" */
void novelai_sampler_names(const struct novelai_model *m, char *out, size_t size);

#define NOVELAI_PIXELS      3145728 /* the most in one picture */
#define NOVELAI_PIXELS_FREE 1048576 /* the most that an Opus subscription includes */
#define NOVELAI_SIDE        4096

/* "portrait", "landscape", "square", with "small_", "large_" or "wallpaper_": false: none such. */
bool novelai_resolution(const char *name, uint32_t *width, uint32_t *height);

/* Sides of that ratio ("2:3", "1.5:1"), or of that resolution's name.  false: it is neither. */
bool novelai_ratio(const char *text, uint32_t *width, uint32_t *height);

/*
 * Brings a size to multiples of 64 with at most `pixels`: the ratio stays as near as they allow.  Has
 * anything changed?
 */
bool novelai_size(uint32_t *width, uint32_t *height, uint32_t pixels);

#endif
