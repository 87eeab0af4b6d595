#include "input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Looks at the header before any decoder does: what claims to be too large is not even opened. */
static int
judge_header(const struct order *o, int in, enum picture_type *type, struct fault *f)
{
	AUTO_FREE unsigned char *head = malloc(PICTURE_HEAD_BYTES);
	const char *why = "its header is longer than 64 KiB";
	uint32_t width, height;
	size_t len = 0;
	ssize_t n = 1;

	if (!head)
		return fault_set(f, IMAGING_NO_ROOM, "out of memory");
	while (n > 0 && len < PICTURE_HEAD_BYTES) {
		n = pread(in, head + len, PICTURE_HEAD_BYTES - len, (off_t)len);
		if (n < 0)
			return fault_set(f, IMAGING_FAILED, "input: %s", strerror(errno));
		len += (size_t)n;
	}
	if (picture_head(head, len, type, &width, &height, &why) != HEAD_OK)
		return fault_set(f, IMAGING_BAD_PICTURE, "not a picture: %s", why);
	if ((uint64_t)width * height > o->max_pixels)
		return fault_set(f, IMAGING_TOO_LARGE, "%ux%u is more than %llu pixels", width,
				 height, (unsigned long long)o->max_pixels);
	return 0;
}

static VipsImage *
load(enum picture_type type, VipsSource *source)
{
	VipsImage *image = NULL;

	switch (type) {
	case PICTURE_PNG:
		(void)vips_pngload_source(source, &image, "access", VIPS_ACCESS_SEQUENTIAL,
					  "fail_on", VIPS_FAIL_ON_ERROR, NULL);
		break;
	case PICTURE_JPEG:
		(void)vips_jpegload_source(source, &image, "access", VIPS_ACCESS_SEQUENTIAL,
					   "fail_on", VIPS_FAIL_ON_ERROR, NULL);
		break;
	case PICTURE_WEBP:
		(void)vips_webpload_source(source, &image, "access", VIPS_ACCESS_SEQUENTIAL,
					   "fail_on", VIPS_FAIL_ON_ERROR, NULL);
		break;
	case PICTURE_NONE: break;
	}
	return image;
}

int
step(VipsImage **image, VipsImage **next, int rc)
{
	if (rc != 0)
		return -1;
	g_object_unref(*image);
	*image = *next;
	*next = NULL;
	return 0;
}

static int
upright(VipsImage **image)
{
	VipsImage *whole = NULL, *next = NULL;

	if (vips_image_get_orientation(*image) == 1)
		return 0;
	/* A turned picture is read in another order than it is stored in. */
	whole = vips_image_copy_memory(*image);
	if (!whole || step(image, &whole, 0) < 0)
		return -1;
	return step(image, &next, vips_autorot(*image, &next, NULL));
}

/* To 8 bits of sRGB or grey, as every browser shows it without a profile. */
static int
plain_colours(VipsImage **image)
{
	VipsImage *next = NULL;
	VipsInterpretation space = vips_image_guess_interpretation(*image);

	if (vips_image_get_typeof(*image, VIPS_META_ICC_NAME) &&
	    vips_icc_transform(*image, &next, "srgb", "embedded", TRUE, NULL) == 0) {
		(void)step(image, &next, 0);
		space = vips_image_get_interpretation(*image);
	} else {
		vips_error_clear(); /* a broken profile is no broken picture */
	}
	if (space == VIPS_INTERPRETATION_GREY16)
		return step(image, &next,
			    vips_colourspace(*image, &next, VIPS_INTERPRETATION_B_W, NULL));
	if (space != VIPS_INTERPRETATION_sRGB && space != VIPS_INTERPRETATION_B_W)
		return step(image, &next,
			    vips_colourspace(*image, &next, VIPS_INTERPRETATION_sRGB, NULL));
	if (vips_image_get_format(*image) != VIPS_FORMAT_UCHAR)
		return step(image, &next, vips_cast_uchar(*image, &next, NULL));
	return 0;
}

int
flatten(VipsImage **image)
{
	double white[] = { 255, 255, 255 };
	VipsArrayDouble *background = vips_array_double_new(white, 3);
	VipsImage *next = NULL;
	int rc = step(image, &next, vips_flatten(*image, &next, "background", background, NULL));

	vips_area_unref(VIPS_AREA(background));
	return rc;
}

/*
 * A copy without profile, EXIF, XMP and comments: the WebP writer's "strip" leaves some in.  libvips'
 * own notes ("vips-sequential") stay.
 */
static int
without_metadata(VipsImage **image)
{
	VipsImage *next = NULL;
	int rc = vips_copy(*image, &next, NULL);
	char **names = rc == 0 ? vips_image_get_fields(next) : NULL;

	for (char **name = names; name && *name; name++)
		if (!g_str_has_prefix(*name, "vips-"))
			(void)vips_image_remove(next, *name); /* not the width and the like */
	g_strfreev(names);
	return step(image, &next, rc);
}

int
input_open(const struct order *o, int in, enum picture_type *type, VipsImage **out, struct fault *f)
{
	VipsSource *source;
	VipsImage *image;

	if (judge_header(o, in, type, f) < 0)
		return -1;
	if (lseek(in, 0, SEEK_SET) < 0) /* whoever wrote it stands at its end */
		return fault_set(f, IMAGING_FAILED, "input: %s", strerror(errno));
	source = vips_source_new_from_descriptor(in);
	if (!source)
		return fault_vips(f, IMAGING_FAILED, "input");
	image = load(*type, source);
	g_object_unref(source);
	if (!image)
		return fault_vips(f, IMAGING_BAD_PICTURE, "decoding");
	if ((uint64_t)vips_image_get_width(image) * (uint64_t)vips_image_get_height(image) >
	    o->max_pixels)
		(void)fault_set(f, IMAGING_TOO_LARGE, "more than %llu pixels",
				(unsigned long long)o->max_pixels);
	else if (upright(&image) < 0 || plain_colours(&image) < 0 || without_metadata(&image) < 0)
		(void)fault_vips(f, IMAGING_BAD_PICTURE, "decoding");
	else {
		*out = image;
		return 0;
	}
	g_object_unref(image);
	return -1;
}
