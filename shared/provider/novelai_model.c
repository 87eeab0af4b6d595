#include "provider/novelai_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define UNIT     64

/* ---- models: the longer name stands before the one it begins with ---- */

static const struct novelai_model models[] = {
	{ "nai-diffusion-4-5-curated", "nai-diffusion-4-5-curated-inpainting", true, 5, 3,
	  ", very aesthetic, masterpiece, no text, -0.8::feet::, rating:general" },
	{ "nai-diffusion-4-5-full", "nai-diffusion-4-5-full-inpainting", true, 5, 4,
	  ", very aesthetic, masterpiece, no text" },
	{ "nai-diffusion-4-curated", "nai-diffusion-4-curated-inpainting", true, 5.5, 2,
	  ", rating:general, best quality, very aesthetic, absurdres" },
	{ "nai-diffusion-4-full", "nai-diffusion-4-full-inpainting", true, 5.5, 2,
	  ", no text, best quality, very aesthetic, absurdres" },
	{ "nai-diffusion-furry-3", "nai-diffusion-furry-3-inpainting", false, 5, 3,
	  ", {best quality}, {amazing quality}" },
	{ "nai-diffusion-3", "nai-diffusion-3-inpainting", false, 5, 3,
	  ", best quality, amazing quality, very aesthetic, absurdres" },
	{ "", "nai-diffusion-4-5-full-inpainting", true, 5, 4, NULL },
};

static const struct {
	const char *alias, *id;
} aliases[] = {
	{ "nai-v3", "nai-diffusion-3" },
	{ "nai-furry-v3", "nai-diffusion-furry-3" },
	{ "nai-diffusion-3-furry", "nai-diffusion-furry-3" }, /* as one SDK has it */
	{ "nai-v4", "nai-diffusion-4-full" },
	{ "nai-v4-full", "nai-diffusion-4-full" },
	{ "nai-v4-curated", "nai-diffusion-4-curated-preview" },
	{ "nai-v4-curated-preview", "nai-diffusion-4-curated-preview" },
	{ "nai-v4.5", "nai-diffusion-4-5-full" },
	{ "nai-v4-5", "nai-diffusion-4-5-full" },
	{ "nai-v4.5-full", "nai-diffusion-4-5-full" },
	{ "nai-v4-5-full", "nai-diffusion-4-5-full" },
	{ "nai-v4.5-curated", "nai-diffusion-4-5-curated" },
	{ "nai-v4-5-curated", "nai-diffusion-4-5-curated" },
};

const char *
novelai_model_id(const char *name)
{
	for (size_t i = 0; i < COUNT(aliases); i++)
		if (!strcasecmp(name, aliases[i].alias))
			return aliases[i].id;
	return name;
}

const struct novelai_model *
novelai_model(const char *name)
{
	const struct novelai_model *m = models;

	name = novelai_model_id(name);
	while (strncmp(name, m->id, strlen(m->id)) != 0)
		m++;
	return m;
}

/* ---- what they can do ---- */

/* quality becomes tags, output_format and the like are served here. */
#define KEEPS                                                                                   \
	(PARAM_BIT(PARAM_SIZE) | PARAM_BIT(PARAM_QUALITY) | PARAM_BIT(PARAM_NEGATIVE_PROMPT) |  \
	 PARAM_BIT(PARAM_SEED) | PARAM_BIT(PARAM_STEPS) | PARAM_BIT(PARAM_GUIDANCE) |           \
	 PARAM_BIT(PARAM_SAMPLER) | PARAM_BIT(PARAM_ASPECT_RATIO) | PARAM_BIT(PARAM_STRENGTH) | \
	 PARAM_BIT(PARAM_NOISE) | PARAM_BIT(PARAM_N))

#define SIZES "multiples of 64, up to 3145728 pixels; 832x1216, 1216x832, 1024x1024"
#define MAPPED                                                                                  \
	"n→several requests; guidance→scale; aspect_ratio→size; quality high→its tags " \
	"at the prompt's end"

static const struct image_caps caps_of[] = {
	{ .family = "NovelAI Diffusion V4 and V4.5",
	  .keeps = KEEPS,
	  .n_max = 1,
	  .prompt_max = 17000, /* so many were taken */
	  .sources_max = 1,
	  .mask = true,
	  .partials = true,
	  .sizes = SIZES,
	  .mapped = MAPPED },
	{ .family = "NovelAI Diffusion V3",
	  .keeps = KEEPS,
	  .n_max = 1,
	  .prompt_max = 17000,
	  .sources_max = 1,
	  .mask = true,
	  .partials = true,
	  .sizes = SIZES,
	  .mapped = MAPPED },
};

const struct image_caps *
novelai_caps(const char *name)
{
	return &caps_of[novelai_model(name)->v4 ? 0 : 1];
}

const struct image_caps *
novelai_caps_row(unsigned i)
{
	return i < COUNT(caps_of) ? &caps_of[i] : NULL;
}

/* ---- samplers: the first is the usual one ---- */

static const struct novelai_sampler samplers[] = {
	{ "k_euler_ancestral", "karras", false, false, false },
	{ "k_euler", "karras", false, false, false },
	{ "k_dpmpp_2s_ancestral", "karras", false, false, false },
	{ "k_dpmpp_2m", "karras", false, false, false },
	{ "k_dpmpp_2m_sde", "karras", false, false, false },
	{ "k_dpmpp_sde", "karras", false, false, false },
	{ "ddim_v3", NULL, true, false, false },
	{ "k_dpm_2", "exponential", true, false, false },
	{ "k_dpm_2_ancestral", "karras", true, false, false },
	{ "k_dpm_adaptive", "karras", true, false, false },
	{ "k_dpm_fast", NULL, true, false, false },
	{ "k_heun", "karras", true, false, false },
	{ "k_lms", NULL, true, false, false },
};

/* The old names of one sampler with a switch. */
static const struct {
	const char *alias;
	struct novelai_sampler sampler;
} smea[] = {
	{ "nai_smea", { "k_euler_ancestral", "karras", true, true, false } },
	{ "nai_smea_dyn", { "k_euler_ancestral", "karras", true, true, true } },
};

static const struct {
	const char *alias, *name;
} sampler_aliases[] = {
	{ "k_euler_a", "k_euler_ancestral" },
	{ "euler_a", "k_euler_ancestral" },
	{ "ddim", "ddim_v3" },
};

const struct novelai_sampler *
novelai_sampler(const struct novelai_model *m, const char *name)
{
	if (!name || !*name)
		return &samplers[0];
	for (size_t i = 0; !m->v4 && i < COUNT(smea); i++)
		if (!strcasecmp(name, smea[i].alias))
			return &smea[i].sampler;
	for (size_t i = 0; i < COUNT(sampler_aliases); i++)
		if (!strcasecmp(name, sampler_aliases[i].alias))
			name = sampler_aliases[i].name;
	for (size_t i = 0; i < COUNT(samplers); i++) {
		const char *own = samplers[i].name;
		bool same = !strcasecmp(name, own) ||
			    (!strncmp(own, "k_", 2) && !strcasecmp(name, own + 2));

		if (same && !(m->v4 && samplers[i].v3_only))
			return &samplers[i];
	}
	return NULL;
}

void
novelai_sampler_names(const struct novelai_model *m, char *out, size_t size)
{
	size_t len = 0;

	*out = '\0';
	for (size_t i = 0; i < COUNT(samplers) && len < size; i++)
		if (!(m->v4 && samplers[i].v3_only))
			len += (size_t)snprintf(out + len, size - len, "%s%s", len ? ", " : "",
						samplers[i].name);
}

/* ---- sizes ---- */

bool
novelai_resolution(const char *name, uint32_t *width, uint32_t *height)
{
	static const struct {
		const char *name;
		uint32_t width, height;
	} rows[] = {
		{ "portrait", 832, 1216 },
		{ "landscape", 1216, 832 },
		{ "square", 1024, 1024 },
		{ "small_portrait", 512, 768 },
		{ "small_landscape", 768, 512 },
		{ "small_square", 640, 640 },
		{ "large_portrait", 1024, 1536 },
		{ "large_landscape", 1536, 1024 },
		{ "large_square", 1472, 1472 },
		{ "wallpaper_portrait", 1088, 1920 },
		{ "wallpaper_landscape", 1920, 1088 },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		if (!strcasecmp(name, rows[i].name)) {
			*width = rows[i].width;
			*height = rows[i].height;
			return true;
		}
	return false;
}

bool
novelai_ratio(const char *text, uint32_t *width, uint32_t *height)
{
	char *colon, *end;
	double a, b;

	if (novelai_resolution(text, width, height))
		return true;
	if (text[0] < '0' || text[0] > '9')
		return false;
	a = strtod(text, &colon);
	if (*colon != ':' || colon[1] < '0' || colon[1] > '9')
		return false;
	b = strtod(colon + 1, &end);
	if (*end || !(a > 0 && b > 0 && a / b <= 16 && b / a <= 16))
		return false;
	*width = (uint32_t)lround(sqrt(NOVELAI_PIXELS_FREE * a / b));
	*height = (uint32_t)lround(sqrt(NOVELAI_PIXELS_FREE * b / a));
	(void)novelai_size(width, height, NOVELAI_PIXELS_FREE);
	return true;
}

/* So many units, within bounds, in pixels. */
static uint32_t
side(double units)
{
	const int most = NOVELAI_SIDE / UNIT;

	return (uint32_t)fmin(fmax(units, 1), most) * UNIT;
}

bool
novelai_size(uint32_t *width, uint32_t *height, uint32_t pixels)
{
	double w = *width, h = *height, larger = w > h ? w : h;
	double factor = fmin(1, fmin(sqrt(pixels / (w * h)), NOVELAI_SIDE / larger));
	uint32_t old_width = *width, old_height = *height;

	*width = side(round(w * factor / UNIT));
	*height = side(round(h * factor / UNIT));
	if ((uint64_t)*width * *height > pixels) {
		*width = side(floor(w * factor / UNIT));
		*height = side(floor(h * factor / UNIT));
	}
	/* One side was enlarged to the least there is. */
	while ((uint64_t)*width * *height > pixels)
		*(*width > *height ? width : height) -= UNIT;
	return *width != old_width || *height != old_height;
}
