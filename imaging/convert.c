#include "convert.h"

#include "encode.h"
#include "input.h"

int
convert(const struct order *o, int in, int out, struct fault *f)
{
	enum picture_type type = PICTURE_NONE;
	VipsImage *image;
	int rc = -1;

	if (input_open(o, in, &type, &image, f) < 0)
		return -1;
	if (o->type == PICTURE_JPEG && vips_image_hasalpha(image) && flatten(&image) < 0)
		(void)fault_vips(f, IMAGING_BAD_PICTURE, "decoding");
	else
		rc = encode(image, o->type, o->quality, NULL, out, IMAGING_BAD_PICTURE, f);
	g_object_unref(image);
	return rc;
}
