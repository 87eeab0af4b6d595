#include "blend.h"

#include "input.h"

/* Of 256 parts: the picture stays what one sees first. */
#define OF_PICTURE 168
#define OF_DRAWING (256 - OF_PICTURE)

static void
mix(unsigned char *to, const unsigned char *from, size_t pixels, size_t bands)
{
	for (size_t i = 0; i < pixels; i++)
		for (size_t c = 0; c < 3; c++) {
			unsigned picture = from[bands * i + (bands < 3 ? 0 : c)];

			to[3 * i + c] = (unsigned char)((picture * OF_PICTURE +
							 to[3 * i + c] * OF_DRAWING) >>
							8);
		}
}

int
blend(const struct order *o, int in, unsigned char *pixels, struct fault *f)
{
	enum picture_type type;
	unsigned char *from = NULL;
	VipsImage *image;
	size_t bytes = 0;
	int rc = 0, bands;

	if (input_open(o, in, &type, &image, f) < 0)
		return -1;
	if (vips_image_hasalpha(image) && flatten(&image) < 0)
		rc = fault_vips(f, IMAGING_BAD_PICTURE, "decoding");
	else if (vips_image_get_width(image) != (int)o->width ||
		 vips_image_get_height(image) != (int)o->height)
		rc = fault_set(f, IMAGING_BAD_ORDER, "the picture is not of the drawing's size");
	else if (!(from = vips_image_write_to_memory(image, &bytes)))
		rc = fault_vips(f, IMAGING_BAD_PICTURE, "decoding");
	bands = vips_image_get_bands(image);
	if (rc == 0 && from)
		mix(pixels, from, (size_t)o->width * o->height, (size_t)bands);
	g_free(from);
	g_object_unref(image);
	return rc;
}
