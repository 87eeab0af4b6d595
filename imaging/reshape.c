#include "reshape.h"

#include "encode.h"
#include "input.h"

#define BLOCK IMAGING_MASK_BLOCK
#define KEEP_ALPHA \
	192.0 /* a block that is less opaque on average, a quarter of it gone, is repainted */

/* ---- to a size ---- */

/* The part of it, around its middle, that has the sides' ratio. */
static int
crop(VipsImage **image, int width, int height)
{
	int64_t w = vips_image_get_width(*image), h = vips_image_get_height(*image);
	int64_t cut_w = w, cut_h = h;
	VipsImage *next = NULL;

	if (w * height > h * width)
		cut_w = (h * width + height / 2) / height;
	else
		cut_h = (w * height + width / 2) / width;
	cut_w = cut_w < 1 ? 1 : cut_w;
	cut_h = cut_h < 1 ? 1 : cut_h;
	return step(image, &next,
		    vips_extract_area(*image, &next, (int)((w - cut_w) / 2), (int)((h - cut_h) / 2),
				      (int)cut_w, (int)cut_h, NULL));
}

/* Exactly that size; its ratio may change. */
static int
fill(VipsImage **image, int width, int height, VipsKernel kernel)
{
	double x = (double)width / vips_image_get_width(*image);
	double y = (double)height / vips_image_get_height(*image);
	VipsImage *next = NULL;

	if (x > 1 || y > 1) { /* enlarging reads lines twice */
		next = vips_image_copy_memory(*image);
		if (!next || step(image, &next, 0) < 0)
			return -1;
	}
	if (step(image, &next, vips_resize(*image, &next, x, "vscale", y, "kernel", kernel, NULL)) <
	    0)
		return -1;
	if (vips_image_get_width(*image) == width && vips_image_get_height(*image) == height)
		return 0;
	/* Rounded the other way: the edge is repeated, or cut. */
	return step(image, &next,
		    vips_embed(*image, &next, 0, 0, width, height, "extend", VIPS_EXTEND_COPY,
			       NULL));
}

/* All of it, as large as it fits, on black. */
static int
contain(VipsImage **image, int width, int height, VipsKernel kernel)
{
	int64_t w = vips_image_get_width(*image), h = vips_image_get_height(*image);
	int in_w = width, in_h = height;
	VipsImage *next = NULL;

	if (w * height > h * width)
		in_h = (int)((h * width + w / 2) / w);
	else
		in_w = (int)((w * height + h / 2) / h);
	in_w = in_w < 1 ? 1 : in_w;
	in_h = in_h < 1 ? 1 : in_h;
	if (fill(image, in_w, in_h, kernel) < 0)
		return -1;
	return step(image, &next,
		    vips_embed(*image, &next, (width - in_w) / 2, (height - in_h) / 2, width,
			       height, NULL));
}

static int
fit(const struct order *o, VipsImage **image, int width, int height, VipsKernel kernel)
{
	if (o->fit == ORDER_CONTAIN)
		return contain(image, width, height, kernel);
	if (o->fit == ORDER_COVER && crop(image, (int)o->width, (int)o->height) < 0)
		return -1;
	return fill(image, width, height, kernel);
}

int
resize(const struct order *o, int in, int out, struct fault *f)
{
	enum picture_type type;
	VipsImage *image;
	int rc = -1;

	if (input_open(o, in, &type, &image, f) < 0)
		return -1;
	if ((vips_image_hasalpha(image) && flatten(&image) < 0) ||
	    fit(o, &image, (int)o->width, (int)o->height, VIPS_KERNEL_LANCZOS3) < 0)
		(void)fault_vips(f, IMAGING_BAD_PICTURE, "resizing");
	else
		rc = encode(image, o->type, o->quality, NULL, out, IMAGING_BAD_PICTURE, f);
	g_object_unref(image);
	return rc;
}

/* ---- a mask ---- */

/* What was transparent becomes white, the rest black, in whole blocks, in one band. */
static int
blocks(const struct order *o, VipsImage **image)
{
	VipsImage *next = NULL;

	if (step(image, &next,
		 vips_extract_band(*image, &next, vips_image_get_bands(*image) - 1, NULL)) < 0 ||
	    fit(o, image, (int)o->width / BLOCK, (int)o->height / BLOCK, VIPS_KERNEL_LINEAR) < 0)
		return -1;
	return step(image, &next,
		    vips_relational_const1(*image, &next, VIPS_OPERATION_RELATIONAL_LESS,
					   KEEP_ALPHA, NULL));
}

/* As large as the picture, in three equal bands. */
static int
enlarge(VipsImage **image)
{
	VipsImage *next = NULL;

	if (step(image, &next, vips_zoom(*image, &next, BLOCK, BLOCK, NULL)) < 0)
		return -1;
	if (step(image, &next,
		 vips_bandjoin((VipsImage *[]){ *image, *image, *image }, &next, 3, NULL)) < 0)
		return -1;
	return step(image, &next,
		    vips_copy(*image, &next, "interpretation", VIPS_INTERPRETATION_sRGB, NULL));
}

int
mask(const struct order *o, int in, int out, struct fault *f)
{
	enum picture_type type;
	VipsImage *image, *small = NULL;
	double most = 0;
	int rc = -1;

	if (input_open(o, in, &type, &image, f) < 0)
		return -1;
	if (!vips_image_hasalpha(image))
		(void)fault_set(f, IMAGING_NO_MASK, "it has no transparency");
	else if (blocks(o, &image) < 0 || !(small = vips_image_copy_memory(image)) ||
		 step(&image, &small, 0) < 0 || vips_max(image, &most, NULL) != 0)
		(void)fault_vips(f, IMAGING_BAD_PICTURE, "mask");
	else if (most == 0)
		(void)fault_set(f, IMAGING_NO_MASK, "nothing in it is transparent");
	else if (enlarge(&image) < 0)
		(void)fault_vips(f, IMAGING_BAD_PICTURE, "mask");
	else
		rc = encode(image, PICTURE_PNG, o->quality, NULL, out, IMAGING_BAD_PICTURE, f);
	g_object_unref(image);
	return rc;
}

/* ---- small, and clean ---- */

int
thumbnail(const struct order *o, int in, int out, struct fault *f)
{
	enum picture_type type;
	VipsImage *image, *next = NULL;
	int rc = -1, side = (int)o->width;

	if (input_open(o, in, &type, &image, f) < 0)
		return -1;
	if (step(&image, &next,
		 vips_thumbnail_image(image, &next, side, "height", side, "size", VIPS_SIZE_DOWN,
				      NULL)) < 0 ||
	    (o->type == PICTURE_JPEG && vips_image_hasalpha(image) && flatten(&image) < 0))
		(void)fault_vips(f, IMAGING_BAD_PICTURE, "thumbnail");
	else
		rc = encode(image, o->type, o->quality, NULL, out, IMAGING_BAD_PICTURE, f);
	g_object_unref(image);
	return rc;
}

int
strip(const struct order *o, int in, int out, struct fault *f)
{
	enum picture_type type;
	VipsImage *image;
	int rc;

	if (input_open(o, in, &type, &image, f) < 0)
		return -1;
	rc = encode(image, type, o->quality, NULL, out, IMAGING_BAD_PICTURE, f);
	g_object_unref(image);
	return rc;
}
