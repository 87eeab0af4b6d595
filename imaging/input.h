#ifndef EASEL_IMAGING_INPUT_H
#define EASEL_IMAGING_INPUT_H
/*
 * input - a picture that somebody sent, as plain pixels
 */
#include <vips/vips.h>

#include "order.h"

/*
 * Opens the picture on descriptor `in`: turned upright, in sRGB or grey, with 8 bits and no metadata.
 * 0: *image is the caller's to unref.  -1: IMAGING_BAD_PICTURE (neither PNG, JPEG nor WebP, damaged or
 * truncated), IMAGING_TOO_LARGE, IMAGING_NO_ROOM, IMAGING_FAILED.  Damage beyond the header may show
 * only when the pixels are read.
 */
int input_open(const struct order *o, int in, enum picture_type *type, VipsImage **image,
	       struct fault *f);

/*
 * Replaces *image by *next, which an operation made of it that returned rc, and *next by NULL.  0 or -1: rc was not 0.
 * By its address: a call that is an argument itself may set it before or after the other arguments are read.
 */
int step(VipsImage **image, VipsImage **next, int rc);

/* What is transparent becomes white.  0 or -1 with libvips' error. */
int flatten(VipsImage **image);

#endif
