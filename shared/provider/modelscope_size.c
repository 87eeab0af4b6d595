#include "provider/modelscope_size.h"

#include <string.h>

#define SIDE_MIN   64
#define SIDE_STEP  8    /* the models compress 8 by 8 pixels into one */
#define PROMPT_MAX 1999 /* "< 2000" */

#define KEEPS                                                                            \
	(PARAM_BIT(PARAM_N) | PARAM_BIT(PARAM_SIZE) | PARAM_BIT(PARAM_NEGATIVE_PROMPT) | \
	 PARAM_BIT(PARAM_SEED) | PARAM_BIT(PARAM_STEPS) | PARAM_BIT(PARAM_GUIDANCE))

#define CAPS(name, text, pictures)                                                    \
	{                                                                             \
		.family = name, .keeps = KEEPS, .n_max = 1, .prompt_max = PROMPT_MAX, \
		.sources_max = pictures, .sizes = text                                \
	}
#define UP_TO(side) "auto or WIDTHxHEIGHT with sides of 64 to " #side " pixels"

/* word: part of the model's name; the last row is for all others. */
static const struct family {
	const char *word;
	uint32_t side_max;
	struct image_caps caps;
} families[] = {
	/* With a month in their name (-2509, -2511) they take an array of pictures. */
	{ "qwen-image-edit-2", 1664, CAPS("Qwen-Image-Edit of 2509 and later", UP_TO(1664), 3) },
	{ "qwen-image-edit", 1664, CAPS("Qwen-Image-Edit", UP_TO(1664), 1) },
	{ "qwen", 1664, CAPS("Qwen-Image", UP_TO(1664), 0) },
	{ "kontext", 1024, CAPS("FLUX.1-Kontext", UP_TO(1024), 1) },
	{ "flux", 1024, CAPS("FLUX", UP_TO(1024), 0) },
	{ "flus", 1024, CAPS("MajicFlus", UP_TO(1024), 0) },
	{ "", 2048, CAPS("others", UP_TO(2048), 0) },
};

static const struct family *
family_of(const char *model)
{
	const char *slash = strrchr(model, '/');
	const struct family *f = families;

	if (slash) /* the owner's name says nothing */
		model = slash + 1;
	while (!strcasestr(model, f->word))
		f++;
	return f;
}

const struct image_caps *
modelscope_caps(const char *model)
{
	return &family_of(model)->caps;
}

const struct image_caps *
modelscope_caps_row(unsigned i)
{
	return i < sizeof(families) / sizeof(families[0]) ? &families[i].caps : NULL;
}

static uint32_t
side(double pixels, uint32_t max)
{
	uint32_t n = (uint32_t)(pixels / SIDE_STEP + 0.5) * SIDE_STEP;

	return n < SIDE_MIN ? SIDE_MIN : n > max ? max : n;
}

bool
modelscope_size(const char *model, uint32_t *width, uint32_t *height)
{
	uint32_t max = family_of(model)->side_max;
	uint32_t longer = *width > *height ? *width : *height;
	uint32_t shorter = *width > *height ? *height : *width;
	double factor;

	if (longer <= max && shorter >= SIDE_MIN)
		return false;
	factor = longer > max ? (double)max / longer : (double)SIDE_MIN / shorter;
	*width = side(*width * factor, max);
	*height = side(*height * factor, max);
	return true;
}
